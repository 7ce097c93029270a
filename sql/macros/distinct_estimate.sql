-- name: distinct_estimate
-- question: About how many different values stand behind one sketch, or several of them united?
-- grain: one DOUBLE: exact below 64, beyond it about 13 % off (Bar-Yossef 2002). Takes the kept hashes one behind the
--   other: `decode_hashes(prompt_distinct)`, or `flatten(list(decode_hashes(prompt_distinct)))` over deltas.
-- reads:
create macro distinct_estimate(hashes) as
  case
    when len(list_distinct(hashes)) < 64 then len(list_distinct(hashes))::double
    else 63 * 18446744073709551616::double / (list_sort(list_distinct(hashes))[64]::double + 1)
  end;

-- Tests
select case when distinct_estimate([3, 5, 3, 9]::ubigint[]) = 3 then true else error('three') end;
select case when distinct_estimate([]::ubigint[]) = 0 then true else error('none') end;
-- The 64 smallest of 1,000 evenly spread hashes.
select case
  when abs(distinct_estimate(list_transform(range(1, 65), lambda place: (place * 18446744073709551::hugeint)::ubigint)) - 984.375) < 1
  then true else error('sixty-four kept') end;
select case
  when distinct_estimate(list_transform(range(1, 200), lambda place: (place * 18446744073709551::hugeint)::ubigint))
    = distinct_estimate(list_transform(range(1, 65), lambda place: (place * 18446744073709551::hugeint)::ubigint))
  then true else error('the union keeps the smallest') end;
