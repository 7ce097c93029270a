-- name: who_shares_networks_or_payment
-- question: Which accounts share client networks, payment or organisation with this one?
-- parameters:
--   account_id text: the account
--   most_accounts integer = 200: leave out values that more accounts than this share, such as a carrier's network
--   limit_rows integer = 100: rows to show
-- grain: one row per other account and kind of thing shared, the rarest thing first
-- reads: records
-- detects: accounts run from the same networks or paid by the same means, which is how hydra clusters were found
-- does not detect: operators that keep networks and payment apart; accounts linked through a third one (run it for
--   each account found); records older than what is landed
-- false positives: offices, universities, cloud regions and carriers share networks; a company pays for many accounts.
--   `accounts_with_it` says how common the thing is: 2 of 2 is a finding, 2 of 150 is an office
-- next step: `account_timeline` of the accounts found side by side; `clusters` for what scoring linked
with facts as (
  select account_id, 'client_network' as kind, client_network as shared_value, event_time from records
  union all
  select account_id, 'payment_id' as kind, payment_id as shared_value, event_time from records
  union all
  select account_id, 'organization_id' as kind, organization_id as shared_value, event_time from records
),

usage as (
  select account_id, kind, shared_value, count(*) as n_records, max(event_time) as last_seen
  from facts
  where shared_value is not null
  group by account_id, kind, shared_value
),

commonness as (
  select kind, shared_value, count(*) as n_accounts
  from usage
  group by kind, shared_value
),

mine as (
  select usage.kind, usage.shared_value, usage.n_records, commonness.n_accounts
  from usage
  join commonness using (kind, shared_value)
  where usage.account_id = $account_id and commonness.n_accounts <= $most_accounts
)

select
  usage.account_id,
  usage.kind,
  count(*) as n_shared,
  min(mine.n_accounts) as accounts_with_it,
  arg_min(usage.shared_value, mine.n_accounts) as rarest_shared,
  sum(usage.n_records)::bigint as records_of_other,
  sum(mine.n_records)::bigint as records_of_this,
  max(usage.last_seen) as last_seen
from usage
join mine using (kind, shared_value)
where usage.account_id <> $account_id
group by usage.account_id, usage.kind
order by accounts_with_it, n_shared desc, usage.account_id, usage.kind
limit $limit_rows;
