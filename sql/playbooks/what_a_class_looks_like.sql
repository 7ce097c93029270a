-- name: what_a_class_looks_like
-- question: What does a benign class look like, signal by signal, beside everybody?
-- topic: benign
-- cost: every account's scores
-- parameters:
--   benign_class text: the class, as `account_scores.benign_class` has it
--   least_difference number = 0: how far the class must lie from everybody, in deviations of everybody
-- grain: one row per signal, the most telling first. `source` is the reference that the newest scoring used; where that
--   has no such class, the accounts of this lake with at least 50 records
-- reads: reference_populations, account_scores, safe_div
-- detects: what makes the class recognisable, and with which spread; an account is judged against this
-- does not detect: combinations of signals
-- false positives: classes are found without labels: an attacker who looks like a class is counted into it
-- next step: `case_queue` with the class; `topic_coverage_against_class` for one account
with newest as (
  select mode(reference) as reference, count(*) filter (where benign_class = $benign_class) as accounts_in_lake
  from account_scores
),

of_reference as (
  select
    reference_populations.benign_class,
    reference_populations.signal,
    reference_populations.median,
    reference_populations.mad,
    reference_populations.quantiles[1 + (len(reference_populations.quantiles) - 1) // 10] as tenth,
    reference_populations.quantiles[
      len(reference_populations.quantiles) - (len(reference_populations.quantiles) - 1) // 10
    ] as ninetieth,
    reference_populations.accounts,
    reference_populations.name as source
  from reference_populations
  join newest on newest.reference = reference_populations.reference
  where reference_populations.benign_class = $benign_class or reference_populations.benign_class is null
),

-- A lake with few accounts is judged by the shipped reference, which knows no classes: then its own accounts speak.
own_accounts as (
  select *
  from account_scores
  where
    records >= 50
    and not exists (select of_reference.signal from of_reference where of_reference.benign_class = $benign_class)
),

own_signals as (
  unpivot (
    select benign_class, columns(* exclude (
      account_id, as_of, lookback, records, score, p_value, q_value, decision, verdict_id, benign_class, detector,
      reference, first_seen, last_seen
    ))
    from own_accounts
  )
  on columns(* exclude (benign_class))
  into name signal value signal_value
),

of_own_class as (
  select
    signal,
    median(signal_value) as median,
    mad(signal_value) as mad,
    quantile_disc(signal_value, 0.1) as tenth,
    quantile_disc(signal_value, 0.9) as ninetieth,
    count(*) as accounts
  from own_signals
  where benign_class = $benign_class
  group by signal
),

of_own_accounts as (
  select signal, median(signal_value) as median, mad(signal_value) as mad, count(*) as accounts
  from own_signals
  group by signal
),

of_class as (
  select * exclude (benign_class) from of_reference where benign_class = $benign_class
  union all by name
  select *, 'accounts of this lake' as source from of_own_class
),

of_everybody as (
  select signal, median, mad, accounts from of_reference
  where benign_class is null and exists (select r.signal from of_reference as r where r.benign_class = $benign_class)
  union all by name
  select * from of_own_accounts
),

compared as (
  select
    of_class.signal,
    of_class.median as class_median,
    of_class.mad as class_mad,
    of_class.tenth as class_tenth,
    of_class.ninetieth as class_ninetieth,
    of_class.accounts as class_accounts,
    of_everybody.median as median_of_everybody,
    of_everybody.mad as mad_of_everybody,
    of_everybody.accounts as accounts_of_everybody,
    safe_div(of_class.median - of_everybody.median, of_everybody.mad) as difference,
    newest.accounts_in_lake,
    of_class.source
  from of_class
  join of_everybody on of_everybody.signal = of_class.signal
  cross join newest
)

select *
from compared
where coalesce(abs(difference), 0) >= $least_difference
order by abs(difference) desc nulls last, signal;
