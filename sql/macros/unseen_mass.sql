-- name: unseen_mass
-- question: How likely is it that the next record falls into a bucket not seen yet?
-- grain: one DOUBLE from 0 to 1: buckets seen once over records counted, Good and Turing (Good 1953). One minus it is the
--   coverage of the sample. null for an empty list.
-- reads: count_total, safe_div
create macro unseen_mass(counts) as
  safe_div(len(list_filter(counts, lambda entry: entry."count" = 1)), count_total(counts));

-- Tests
select case
  when unseen_mass([{'bucket': 0::integer, 'count': 1::bigint}, {'bucket': 3::integer, 'count': 1::bigint}, {'bucket': 9::integer, 'count': 6::bigint}]) = 0.25
  then true else error('two of eight') end;
select case when unseen_mass([{'bucket': 0::integer, 'count': 2::bigint}]) = 0 then true else error('nothing seen once') end;
select case when unseen_mass([]::struct(bucket integer, "count" bigint)[]) is null then true else error('empty') end;
