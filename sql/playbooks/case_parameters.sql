-- name: case_parameters
-- question: With which models and settings were the records of a case sent?
-- topic: case
-- parameters:
--   subject text: an account's id, or a cluster's id or name
--   limit_rows integer = 30: rows to show
-- grain: one row per combination of model and settings, the most used first
-- reads: subject_accounts, records
-- detects: constant parameters, a pivot to a new model, accounts that share an unusual setting
-- does not detect: settings that the service fills in itself
-- false positives: applications never change their parameters; a library has defaults that thousands share
-- instead: `account_parameters` for one account: it counts system prompts and templates too
-- next step: `case_timeline` for when a setting began
select
  model,
  temperature,
  top_p,
  max_tokens,
  choice_count,
  reasoning_requested,
  logprobs,
  stream,
  count(*) as records,
  count(*) / sum(count(*)) over () as share,
  count(distinct account_id) as accounts,
  min(event_time) as first_seen,
  max(event_time) as last_seen
from records
where account_id in (select members.account_id from subject_accounts($subject) as members)
group by all
order by records desc, first_seen, model, temperature, top_p, max_tokens, choice_count
limit $limit_rows;
