-- name: counts_cosine
-- question: How alike are two sparse count lists?
-- grain: one DOUBLE from 0 (no bucket in common) to 1 (same proportions); null when one is empty.
-- reads:
create macro counts_cosine(a, b) as
  case
    when len(a) > 0 and len(b) > 0
    then coalesce(
      list_sum(
        list_transform(
          a,
          lambda mine: mine."count"::double * coalesce(
            list_extract(
              list_transform(b, lambda other: other."count"),
              list_position(list_transform(b, lambda other: other.bucket), mine.bucket)
            ),
            0
          )
        )
      ),
      0
    ) / sqrt(
      list_sum(list_transform(a, lambda entry: entry."count"::double * entry."count"))
      * list_sum(list_transform(b, lambda entry: entry."count"::double * entry."count"))
    )
  end;

-- Tests
select case
  when abs(counts_cosine(
    [{'bucket': 0::integer, 'count': 3::bigint}, {'bucket': 7::integer, 'count': 4::bigint}],
    [{'bucket': 7::integer, 'count': 1::bigint}, {'bucket': 9::integer, 'count': 5::bigint}]
  ) - 4 / (5 * sqrt(26))) < 1e-12
  then true else error('one bucket in common') end;
select case
  when abs(counts_cosine([{'bucket': 1::integer, 'count': 2::bigint}], [{'bucket': 1::integer, 'count': 9::bigint}]) - 1) < 1e-12
  then true else error('same proportions') end;
select case
  when counts_cosine([{'bucket': 1::integer, 'count': 2::bigint}], [{'bucket': 2::integer, 'count': 9::bigint}]) = 0
  then true else error('nothing in common') end;
select case
  when counts_cosine([]::struct(bucket integer, "count" bigint)[], [{'bucket': 2::integer, 'count': 9::bigint}]) is null
  then true else error('empty') end;
