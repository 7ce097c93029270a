-- name: why_flagged
-- question: Which signals set this account apart from the others that were scored?
-- topic: account
-- cost: every account's scores
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
  placed.signal,
  placed.signal_value,
  placed.rank_in_lake,
  placed.lake_median,
  placed.accounts,
  populations.median as reference_median,
  safe_div(placed.signal_value - populations.median, populations.mad) as reference_deviations,
  judged.records,
  judged.score,
  judged.p_value,
  judged.decision
from placed
cross join judged
left join populations on populations.signal = placed.signal
order by abs(placed.rank_in_lake - 0.5) desc, placed.signal;
