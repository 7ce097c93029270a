-- name: histogram_quantile
-- question: Below which value do a share `q` of the counted values lie, as far as log2 buckets can tell?
-- grain: one BIGINT: the lowest value of the bucket that the quantile falls into (bucket 0 is 0 and below, bucket b
--   starts at 2^(b-1)); the true quantile is at most twice that. null for an empty list.
-- reads: count_total
create macro histogram_quantile(counts, q) as
  list_extract(
    list_transform(
      list_filter(
        counts,
        lambda entry: list_sum(
          list_transform(list_filter(counts, lambda before: before.bucket <= entry.bucket), lambda before: before."count")
        ) >= q * count_total(counts)
      ),
      lambda entry: case when entry.bucket = 0 then 0 else (1::bigint << (entry.bucket - 1)) end
    ),
    1
  );

-- Tests
-- Nine values in [4, 8), one in [64, 128).
select case
  when histogram_quantile([{'bucket': 3::integer, 'count': 9::bigint}, {'bucket': 7::integer, 'count': 1::bigint}], 0.5) = 4
  then true else error('median') end;
select case
  when histogram_quantile([{'bucket': 3::integer, 'count': 9::bigint}, {'bucket': 7::integer, 'count': 1::bigint}], 0.99) = 64
  then true else error('99 %') end;
select case
  when histogram_quantile([{'bucket': 0::integer, 'count': 1::bigint}], 0.5) = 0 then true else error('zeros') end;
select case when histogram_quantile([]::struct(bucket integer, "count" bigint)[], 0.5) is null then true else error('empty') end;
