-- name: who_uses
-- question: Which accounts use this network, payment, template or other trait?
-- topic: others
-- cost: the whole lake: seconds where it is large
-- parameters:
--   kind text: client_network, payment_id, organization_id, user_agent, model, country, template, system_prompt or prompt
--   shared_value text: the value; hashes as 16 hexadecimal digits
--   limit_rows integer = 100: rows to show
-- grain: one row per account, most records with it first; `accounts_with_it` is how many there are in all
-- reads: records, account_scores, hash_hex
-- detects: everybody behind a trait that stood out in one account
-- does not detect: values that look different and mean the same, such as two networks of one host
-- false positives: a common value says nothing: see `accounts_with_it`
-- next step: `account_summary` of those found; `overlap_between_accounts`
with found as (
  select account_id, count(*) as records_with_it, min(event_time) as first_seen_with_it, max(event_time) as last_seen_with_it
  from records
  where $shared_value = case $kind
    when 'client_network' then client_network
    when 'payment_id' then payment_id
    when 'organization_id' then organization_id
    when 'user_agent' then user_agent
    when 'model' then model
    when 'country' then country
    when 'template' then hash_hex(template_hash)
    when 'system_prompt' then hash_hex(system_prompt_hash)
    when 'prompt' then hash_hex(prompt_hash)
    else error('kind is ' || $kind || '; it has to be client_network, payment_id, organization_id, user_agent, model, country, template, system_prompt or prompt')
  end
  group by account_id
)

select
  found.*,
  count(*) over () as accounts_with_it,
  account_scores.records,
  account_scores.decision,
  account_scores.score,
  account_scores.benign_class
from found
left join account_scores on account_scores.account_id = found.account_id
order by found.records_with_it desc, found.account_id
limit $limit_rows;
