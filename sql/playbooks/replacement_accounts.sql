-- name: replacement_accounts
-- question: Who took over when this account stopped?
-- topic: others
-- cost: every account's scores
-- parameters:
--   account_id text: the account that stopped or was closed
--   days number = 7: how long after its last record a successor may begin
--   days_before number = 1: how long before it
--   limit_rows integer = 50: rows to show
-- grain: one row per account that began then and shares something with it, the most in common first
-- reads: account_scores, records
-- detects: replacements of banned accounts: a new account with the payment, network, template or system prompt of the old
-- does not detect: replacements that were there before and slept; those that change everything
-- false positives: colleagues who start next week; students; customers of the same application share its templates
-- next step: `overlap_between_accounts` of the two; `members_of_a_cluster`
with mine as (
  select
    max(event_time) as stopped_at,
    list(distinct client_network) filter (where client_network is not null) as client_networks,
    list(distinct payment_id) filter (where payment_id is not null) as payments,
    list(distinct organization_id) filter (where organization_id is not null) as organizations,
    list(distinct template_hash) filter (where template_hash is not null) as templates,
    list(distinct system_prompt_hash) filter (where system_prompt_hash is not null) as system_prompts
  from records
  where account_id = $account_id
),

-- First seen is a window's beginning: look a day wider, then compare the records.
around as (
  select account_scores.account_id
  from account_scores
  cross join mine
  where
    account_scores.account_id <> $account_id
    and account_scores.first_seen >= mine.stopped_at - to_seconds(($days_before + 1) * 86400)
    and account_scores.first_seen < mine.stopped_at + to_seconds($days * 86400)
),

theirs as (
  select
    account_id,
    min(event_time) as began_at,
    count(*) as records,
    list(distinct client_network) filter (where client_network is not null) as client_networks,
    list(distinct payment_id) filter (where payment_id is not null) as payments,
    list(distinct organization_id) filter (where organization_id is not null) as organizations,
    list(distinct template_hash) filter (where template_hash is not null) as templates,
    list(distinct system_prompt_hash) filter (where system_prompt_hash is not null) as system_prompts
  from records
  where account_id in (select around.account_id from around)
  group by account_id
),

compared as (
  select
    theirs.account_id,
    theirs.began_at,
    theirs.records,
    epoch(theirs.began_at - mine.stopped_at) / 3600 as hours_after,
    coalesce(len(list_intersect(theirs.payments, mine.payments)), 0) as shared_payments,
    coalesce(len(list_intersect(theirs.client_networks, mine.client_networks)), 0) as shared_networks,
    coalesce(len(list_intersect(theirs.organizations, mine.organizations)), 0) as shared_organizations,
    coalesce(len(list_intersect(theirs.templates, mine.templates)), 0) as shared_templates,
    coalesce(len(list_intersect(theirs.system_prompts, mine.system_prompts)), 0) as shared_system_prompts
  from theirs
  cross join mine
  where
    theirs.began_at >= mine.stopped_at - to_seconds($days_before * 86400)
    and theirs.began_at < mine.stopped_at + to_seconds($days * 86400)
)

select
  compared.*,
  (
    (shared_payments > 0)::integer + (shared_networks > 0)::integer + (shared_organizations > 0)::integer
    + (shared_templates > 0)::integer + (shared_system_prompts > 0)::integer
  ) as kinds_shared
from compared
where kinds_shared > 0
order by kinds_shared desc, abs(hours_after), account_id
limit $limit_rows;
