-- name: top_share
-- question: Which share of the values lies in the fullest bucket?
-- grain: one DOUBLE in (0, 1]; null for an empty list. 1 means a single value (or hash collisions) throughout.
-- reads: count_total, safe_div
create macro top_share(counts) as
  safe_div(list_max(list_transform(counts, lambda entry: entry."count")), count_total(counts));

-- Tests
select case
  when top_share([{'bucket': 0::integer, 'count': 3::bigint}, {'bucket': 9::integer, 'count': 1::bigint}]) = 0.75
  then true else error('three of four') end;
select case when top_share([]::struct(bucket integer, "count" bigint)[]) is null then true else error('empty') end;
