-- name: topic_entropy
-- question: Over how many topics do an account's prompts spread, corrected for how few there are?
-- grain: one DOUBLE in nats: plug-in entropy plus (topics touched - 1) / (2 n), Miller and Madow (1955).
--   exp() of it is an effective number of topics. null for an empty list.
-- reads: count_total
create macro topic_entropy(counts) as
  case
    when len(counts) = 0 then null
    when len(counts) = 1 then 0.0
    -- ln n - (sum of c ln c) / n is the entropy of c / n with one pass over the list.
    else ln(count_total(counts))
      - list_sum(list_transform(counts, lambda entry: entry."count" * ln(entry."count"))) / count_total(counts)
      + (len(counts) - 1) / (2 * count_total(counts))
  end;

-- Tests
select case
  when abs(topic_entropy([{'bucket': 0::integer, 'count': 2::bigint}, {'bucket': 7::integer, 'count': 2::bigint}]) - (ln(2) + 0.125)) < 1e-12
  then true else error('two topics') end;
select case when topic_entropy([{'bucket': 5::integer, 'count': 9::bigint}]) = 0 then true else error('one topic') end;
select case when topic_entropy([]::struct(bucket integer, "count" bigint)[]) is null then true else error('empty') end;
