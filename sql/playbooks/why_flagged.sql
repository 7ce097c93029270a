-- name: why_flagged
-- question: Which signals set this account apart from the others that were scored?
-- topic: account
-- cost: every account's scores
-- parameters:
--   account_id text: the account
-- grain: one row per signal; of an account with an alert first those that made its score, by `contribution`; the others by how
--   far from the middle of the lake they lie
-- reads: alerts, account_scores, reference_populations, safe_div
-- detects: what drove the score, as its alert says it: `contribution`, and `rank_used`, the rank by which the detector judged (among
--   the reference population, from which accounts that stand out at first are left out); and where the account
--   lies among all accounts with a score, `rank_in_lake`. `reference_median` is that of its class in the reference
-- does not detect: without an alert, what made the score (`contribution` is null: only alerts carry it); what a cluster has in
--   common. The two ranks differ, and a signal with a `rank_in_lake` near 0 or 1 and no `contribution` played no part
-- false positives: an end of the ranking is not guilt: some account is always last. Batch jobs, evaluation harnesses
--   and specialists are extreme in spread, parameters or reasoning for honest reasons
-- instead: `alert_evidence` for an alert alone, also a cluster's
-- next step: `account_timeline` to see when it began; `who_shares_networks_or_payment` to see whether it is alone
with every_signal as (
  -- Whatever a scoring writes beside its fixed columns is a signal, so new ones appear here by themselves.
  unpivot (
    select account_id, columns(* exclude (
      account_id, as_of, lookback, records, score, p_value, q_value, decision, verdict_id, benign_class, detector,
      reference, first_seen, last_seen
    ))
    from account_scores
  )
  on columns(* exclude (account_id))
  into name signal value signal_value
),

mine as (
  select signal, signal_value from every_signal where account_id = $account_id
),

placed as (
  select
    mine.signal,
    mine.signal_value,
    -- Mid-rank: accounts with the same value count half.
    (
      count(*) filter (where every_signal.signal_value < mine.signal_value)
      + count(*) filter (where every_signal.signal_value = mine.signal_value) / 2
    ) / count(*) as rank_in_lake,
    median(every_signal.signal_value) as lake_median,
    count(*) as accounts
  from mine
  join every_signal using (signal)
  group by mine.signal, mine.signal_value
),

judged as (
  select * from account_scores where account_id = $account_id
),

newest_alert as (
  -- A scoring's before a live look's, which knows less.
  select
    alert_id,
    evidence
  from alerts
  where subject_kind = 'account' and subject_id = $account_id
  order by is_live, as_of desc, alert_id
  limit 1
),

entries as (
  select
    alert_id,
    unnest(
      from_json(
        evidence -> 'signals',
        '[{"signal": "VARCHAR", "value": "DOUBLE", "rank": "DOUBLE", "contribution": "DOUBLE"}]'
      )
    ) as entry
  from newest_alert
),

driven as (
  select
    alert_id,
    entry.signal as signal,
    entry."value" as alert_value,
    entry."rank" as rank_used,
    entry.contribution as contribution
  from entries
),

populations as (
  -- The account's own class where the reference has it, else everybody.
  select reference_populations.signal, reference_populations.median, reference_populations.mad
  from reference_populations
  join judged using (reference)
  where reference_populations.benign_class = judged.benign_class or reference_populations.benign_class is null
  qualify row_number() over (
    partition by reference_populations.signal order by reference_populations.benign_class nulls last
  ) = 1
)

select
  signal,
  coalesce(placed.signal_value, driven.alert_value) as signal_value,
  driven.contribution,
  driven.rank_used,
  placed.rank_in_lake,
  placed.lake_median,
  placed.accounts,
  populations.median as reference_median,
  safe_div(placed.signal_value - populations.median, populations.mad) as reference_deviations,
  judged.records,
  judged.score,
  judged.p_value,
  judged.decision,
  driven.alert_id
from placed
full join driven using (signal)
cross join judged
left join populations using (signal)
order by driven.contribution desc nulls last, abs(placed.rank_in_lake - 0.5) desc nulls last, signal;
