-- name: hour_flatness
-- question: How evenly does an account work round the clock?
-- grain: one DOUBLE from 0 (always the same hour of the day, UTC) to 1 (every hour alike): the entropy of the hours
--   over its maximum, ln 24. Meaningful over whole days only; null for an empty list.
-- reads: count_total
create macro hour_flatness(hour_histogram) as
  case
    when len(hour_histogram) = 0 then null
    when len(hour_histogram) = 1 then 0.0
    else (
      ln(count_total(hour_histogram))
      - list_sum(list_transform(hour_histogram, lambda entry: entry."count" * ln(entry."count"))) / count_total(hour_histogram)
    ) / ln(24)
  end;

-- Tests
select case
  when abs(hour_flatness(list_transform(range(24), lambda hour: {'bucket': hour::integer, 'count': 5::bigint})) - 1) < 1e-12
  then true else error('every hour') end;
select case when hour_flatness([{'bucket': 3::integer, 'count': 9::bigint}]) = 0 then true else error('one hour') end;
select case when hour_flatness([]::struct(bucket integer, "count" bigint)[]) is null then true else error('empty') end;
