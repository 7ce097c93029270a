-- name: merge_counts
-- question: What is the sum of several sparse count lists?
-- grain: one sparse list, sorted by bucket; empty when there is nothing to add. Takes the lists one behind the other,
--   as `flatten(list(topic_count))` makes them. Its work grows with the buckets touched times the entries given, so
--   it is for a handful of deltas, not for a cluster of accounts: those are merged by `pipeline.profiles`.
-- reads:
create macro merge_counts(entries) as
  list_transform(
    list_sort(list_distinct(list_transform(entries, lambda entry: entry.bucket))),
    lambda touched: {
      'bucket': touched,
      'count': list_sum(
        list_transform(list_filter(entries, lambda entry: entry.bucket = touched), lambda entry: entry."count")
      )::bigint
    }
  );

-- Tests
select case
  when merge_counts([
    {'bucket': 3::integer, 'count': 2::bigint}, {'bucket': 9::integer, 'count': 1::bigint},
    {'bucket': 1::integer, 'count': 5::bigint}, {'bucket': 3::integer, 'count': 4::bigint}
  ]) = [{'bucket': 1, 'count': 5}, {'bucket': 3, 'count': 6}, {'bucket': 9, 'count': 1}]
  then true else error('two deltas') end;
select case
  when merge_counts([]::struct(bucket integer, "count" bigint)[]) = [] then true else error('nothing to add') end;
select case
  when merge_counts([{'bucket': 0::integer, 'count': 9007199254740993::bigint}, {'bucket': 0::integer, 'count': 2::bigint}])[1]."count" = 9007199254740995
  then true else error('beyond the integers of a double') end;
