-- name: dense_counts
-- question: How does a sparse count list look with every bucket in its place?
-- grain: one BIGINT list of `size` numbers; element 1 is bucket 0. Buckets beyond size are left out.
-- reads:
create macro dense_counts(counts, size) as
  list_transform(
    range(size),
    lambda place: coalesce(
      list_extract(
        list_transform(counts, lambda entry: entry."count"),
        list_position(list_transform(counts, lambda entry: entry.bucket), place::integer)
      ),
      0
    )::bigint
  );

-- Tests
select case
  when dense_counts([{'bucket': 0::integer, 'count': 7::bigint}, {'bucket': 3::integer, 'count': 2::bigint}], 5) = [7, 0, 0, 2, 0]
  then true else error('places') end;
select case
  when dense_counts([]::struct(bucket integer, "count" bigint)[], 3) = [0, 0, 0] then true else error('empty') end;
select case
  when list_sum(dense_counts([{'bucket': 255::integer, 'count': 1::bigint}], 256)) = 1 then true else error('last bucket') end;
