-- name: why_flagged
-- question: Which signals set this account apart from the others that were scored?
-- parameters:
--   account_id text: the account
-- grain: one row per signal of the account's newest score, the most extreme first
-- reads: account_scores, reference_populations, safe_div
-- detects: signals in which the account lies at an end of its lake (`rank_in_lake` near 0 or 1), with the median of
--   the reference population that the score was read against
-- does not detect: why a combination of unremarkable signals scored high; what a cluster has in common
-- false positives: an end of the ranking is not guilt: some account is always last. Batch jobs, evaluation harnesses
--   and specialists are extreme in spread, parameters or reasoning for honest reasons
-- next step: `account_timeline` to see when it began; `who_shares_networks_or_payment` to see whether it is alone
with every_signal as (
  -- Whatever a scoring writes beside its fixed columns is a signal, so new ones appear here by themselves.
  unpivot (
    select account_id, columns(* exclude (
      account_id, as_of, lookback, records, score, p_value, q_value, decision, benign_class, detector, reference,
      first_seen, last_seen
    ))
    from account_scores
  )
  on columns(* exclude (account_id))
  into name signal value signal_value
),

ranked as (
  select
    account_id,
    signal,
    signal_value,
    -- Mid-rank: ties share the middle of their places.
    (rank() over by_value + count(*) over same_value / 2 - 0.5) / count(*) over (partition by signal) as rank_in_lake,
    median(signal_value) over (partition by signal) as lake_median,
    count(*) over (partition by signal) as accounts
  from every_signal
  window
    by_value as (partition by signal order by signal_value),
    same_value as (partition by signal, signal_value)
),

judged as (
  select * from account_scores where account_id = $account_id
)

select
  ranked.signal,
  ranked.signal_value,
  ranked.rank_in_lake,
  ranked.lake_median,
  ranked.accounts,
  populations.median as reference_median,
  safe_div(ranked.signal_value - populations.median, populations.mad) as reference_deviations,
  judged.records,
  judged.score,
  judged.p_value,
  judged.decision
from ranked
join judged on judged.account_id = ranked.account_id
left join reference_populations as populations
  on populations.reference = judged.reference
  and populations.signal = ranked.signal
  and populations.benign_class is not distinct from judged.benign_class
order by abs(ranked.rank_in_lake - 0.5) desc, ranked.signal;
