-- name: what_a_class_looks_like
-- question: What does a benign class look like, signal by signal, beside everybody?
-- parameters:
--   benign_class text: the class, as `account_scores.benign_class` has it
--   least_difference number = 0: how far the class must lie from everybody, in deviations of everybody
-- grain: one row per signal of the reference that the newest scoring used, the most telling first
-- reads: reference_populations, account_scores, safe_div
-- detects: what makes the class recognisable, and with which spread; an account is judged against this
-- does not detect: combinations of signals
-- false positives: classes are found without labels: an attacker who looks like a class is counted into it
-- next step: `case_queue` with the class; `topic_coverage_against_class` for one account
with newest as (
  select mode(reference) as reference, count(*) filter (where benign_class = $benign_class) as accounts_in_lake
  from account_scores
),

rows_of_reference as (
  select reference_populations.*, newest.accounts_in_lake
  from reference_populations
  join newest on newest.reference = reference_populations.reference
),

compared as (
  select
    class.signal,
    class.median as class_median,
    class.mad as class_mad,
    class.quantiles[1 + (len(class.quantiles) - 1) // 10] as class_tenth,
    class.quantiles[len(class.quantiles) - (len(class.quantiles) - 1) // 10] as class_ninetieth,
    class.accounts as class_accounts,
    everybody.median as median_of_everybody,
    everybody.mad as mad_of_everybody,
    everybody.accounts as accounts_of_everybody,
    safe_div(class.median - everybody.median, everybody.mad) as difference,
    class.accounts_in_lake,
    class.name as reference_name
  from rows_of_reference as class
  join rows_of_reference as everybody on everybody.signal = class.signal and everybody.benign_class is null
  where class.benign_class = $benign_class
)

select *
from compared
where coalesce(abs(difference), 0) >= $least_difference
order by abs(difference) desc nulls last, signal;
