-- name: research_or_harvest
-- question: Does this account behave more like research and evaluation, or more like what was alerted on?
-- topic: account
-- cost: every account's scores
-- parameters:
--   account_id text: the account
-- grain: one row per signal in which the two differ, the most telling first; `leans_to` is the nearer median, in median
--   absolute deviations of all
-- reads: account_scores, standing_verdicts, safe_div
-- detects: on which points the account resembles whom. Research comes back to its prompts, works on a subject for a
--   while and varies one thing at a time; a harvest works off a list once
-- does not detect: a harvest that behaves like research; what research looks like where the lake has no such class;
--   a lake with few accounts
-- false positives: alerted accounts are not all harvests: until verdicts stand, this compares with the detector's opinion.
--   Honest accounts of other classes lean anywhere
-- next step: `alert_records`, `session_coherence`, `account_repeats`
with every_signal as (
  unpivot (
    select account_id, decision, columns(* exclude (
      account_id, as_of, lookback, records, score, p_value, q_value, decision, verdict_id, benign_class, detector,
      reference, first_seen, last_seen
    ))
    from account_scores
  )
  on columns(* exclude (account_id, decision))
  into name signal value signal_value
),

mine as (
  select signal, signal_value from every_signal where account_id = $account_id
),

attackers as (
  -- Those that people called attacks, or, while nobody has decided, those that the scoring alerted on.
  select account_scores.account_id
  from account_scores
  left join standing_verdicts
    on standing_verdicts.subject_kind = 'account' and standing_verdicts.subject_id = account_scores.account_id
  where
    account_scores.account_id <> $account_id
    and (standing_verdicts.verdict = 'attack' or (account_scores.decision = 'alert' and standing_verdicts.verdict is null))
),

of_attackers as (
  select signal, median(signal_value) as attack_median, count(*) as attackers
  from every_signal
  where account_id in (select attackers.account_id from attackers)
  group by signal
),

of_research as (
  select signal, median(signal_value) as research_median, count(*) as research_accounts
  from every_signal
  where
    account_id in (
      select account_scores.account_id
      from account_scores
      where
        account_scores.account_id <> $account_id
        and account_scores.decision in ('clear', 'allowed')
        and (account_scores.benign_class like '%research%' or account_scores.benign_class like '%evaluation%')
    )
  group by signal
),

of_everybody as (
  select signal, mad(signal_value) as mad_of_everybody from every_signal group by signal
),

compared as (
  select
    mine.signal,
    mine.signal_value,
    of_research.research_median,
    of_attackers.attack_median,
    safe_div(of_attackers.attack_median - of_research.research_median, of_everybody.mad_of_everybody) as apart,
    safe_div(
      abs(mine.signal_value - of_research.research_median) - abs(mine.signal_value - of_attackers.attack_median),
      of_everybody.mad_of_everybody
    ) as lean,
    of_attackers.attackers,
    of_research.research_accounts
  from mine
  join of_attackers using (signal)
  join of_research using (signal)
  join of_everybody using (signal)
)

select
  signal,
  signal_value,
  research_median,
  attack_median,
  apart,
  lean,
  case when lean > 0 then 'harvest' when lean < 0 then 'research' else 'neither' end as leans_to,
  attackers,
  research_accounts
from compared
where abs(apart) >= 0.5
order by abs(apart) desc, signal;
