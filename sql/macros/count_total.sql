-- name: count_total
-- question: How many values does a sparse count list count?
-- grain: one BIGINT; 0 for an empty list.
-- reads:
create macro count_total(counts) as
  coalesce(list_sum(list_transform(counts, lambda entry: entry."count")), 0)::bigint;

-- Tests
select case
  when count_total([{'bucket': 0::integer, 'count': 7::bigint}, {'bucket': 3::integer, 'count': 2::bigint}]) = 9
  then true else error('sum') end;
select case when count_total([]::struct(bucket integer, "count" bigint)[]) = 0 then true else error('empty') end;
