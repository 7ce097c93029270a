-- name: similar_accounts
-- question: Which accounts behave like this one?
-- topic: others
-- cost: every account's scores
-- parameters:
--   account_id text: the account
--   candidates integer = 40: accounts nearest in their signals whose topics are then compared
--   min_records integer = 20: records that an account must have
--   limit_rows integer = 20: rows to show
-- grain: one row per other account, the nearest first
-- reads: account_scores, account_topics, window_deltas, counts_cosine
-- detects: accounts with like signals, and among them those that ask for the like: what one operator does with several
--   accounts, or what a class of customers does
-- does not detect: accounts with too few records for signals; content beyond topics; accounts that share a network and
--   nothing else (`who_shares_networks_or_payment`)
-- false positives: some account is always nearest: see `signal_distance` (mean of the differences in standard
--   deviations, each at most 3) beside that of the next rows
-- next step: `overlap_between_accounts` with one of them
with every_signal as (
  -- Whatever a scoring writes beside its fixed columns is a signal, so new ones appear here by themselves.
  unpivot (
    select account_id, columns(* exclude (
      account_id, as_of, lookback, records, score, p_value, q_value, decision, verdict_id, benign_class, detector,
      reference, first_seen, last_seen
    ))
    from account_scores
    where records >= $min_records or account_id = $account_id
  )
  on columns(* exclude (account_id))
  into name signal value signal_value
),

scales as (
  select signal, stddev_pop(signal_value) as deviation from every_signal group by signal having deviation > 0
),

mine as (
  select every_signal.signal, every_signal.signal_value, scales.deviation
  from every_signal
  join scales using (signal)
  where every_signal.account_id = $account_id
),

nearest as (
  select
    every_signal.account_id,
    count(*) as signals_compared,
    avg(least(abs(every_signal.signal_value - mine.signal_value) / mine.deviation, 3)) as signal_distance
  from every_signal
  join mine using (signal)
  where every_signal.account_id <> $account_id
  group by every_signal.account_id
  having signals_compared * 2 >= (select count(*) from mine)
  order by signal_distance, account_id
  limit $candidates
),

their_topics as (
  select account_id, entry.bucket as bucket, sum(entry."count")::bigint as n_records
  from (
    select account_id, unnest(topic_count) as entry
    from window_deltas
    where account_id in (select nearest.account_id from nearest)
  )
  group by account_id, bucket
),

spreads as (
  select account_id, list({'bucket': bucket, 'count': n_records} order by bucket) as topic_count
  from their_topics
  group by account_id
),

mine_spread as (
  select list({'bucket': topic, 'count': records} order by topic) as topic_count from account_topics($account_id)
)

select
  nearest.account_id,
  nearest.signal_distance,
  nearest.signals_compared,
  counts_cosine(spreads.topic_count, mine_spread.topic_count) as topic_cosine,
  account_scores.records,
  account_scores.score,
  account_scores.decision,
  account_scores.benign_class
from nearest
join account_scores on account_scores.account_id = nearest.account_id
left join spreads on spreads.account_id = nearest.account_id
cross join mine_spread
order by nearest.signal_distance, nearest.account_id
limit $limit_rows;
