-- name: case_repeats
-- question: How often do prompts, templates and system prompts of a case come again, in one account and across accounts?
-- topic: case
-- parameters:
--   subject text: an account's id, or a cluster's id or name
-- grain: one row per kind (`prompt`, `template`, `system prompt`) and number of times a value was sent
-- reads: subject_accounts, records
-- detects: lists worked off once each; one template with many slots; several answers drawn to each prompt
-- does not detect: paraphrases: another wording is another hash
-- false positives: batch jobs send each prompt once; caches hide repeats of honest applications
-- instead: `account_repeats` for one account: it says how far apart repeats lie and gives an example to look up
-- next step: `case_parameters`: several answers to one prompt need other sampling parameters
with facts as (
  select account_id, unnest([
    {'kind': 'prompt', 'value': prompt_hash},
    {'kind': 'template', 'value': template_hash},
    {'kind': 'system prompt', 'value': system_prompt_hash}
  ]) as fact
  from records
  where account_id in (select members.account_id from subject_accounts($subject) as members)
),

used as (
  select fact.kind as kind, fact.value as value, count(*) as times, count(distinct account_id) as accounts
  from facts
  where fact.value is not null
  group by fact.kind, fact.value
)

select
  kind,
  times,
  count(*) as different,
  (times * count(*))::bigint as records,
  count(*) filter (where accounts > 1) as in_several_accounts,
  max(accounts) as most_accounts
from used
group by kind, times
order by kind, times;
