-- name: who_shares_networks_or_payment
-- question: Which accounts share client networks, payment or organisation with this one?
-- topic: others
-- cost: the whole lake: seconds where it is large
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
--   `accounts_with_it` says how common the thing is: 2 of 2 is a finding, 2 of 150 is an office. Who shares a payment or
--   two networks and not the organisation is rarely a colleague
-- next step: `account_timeline` of the accounts found side by side; `clusters` for what scoring linked
with mine as (
  unpivot (
    select client_network, payment_id, organization_id from records where account_id = $account_id
  )
  on client_network, payment_id, organization_id
  into name kind value shared_value
),

mine_used as (
  select kind, shared_value, count(*) as n_records from mine group by kind, shared_value
),

touched as (
  -- One pass over the lake keeps what could match; only that is taken apart.
  select account_id, client_network, payment_id, organization_id, event_time
  from records
  where
    client_network in (select mine_used.shared_value from mine_used where mine_used.kind = 'client_network')
    or payment_id in (select mine_used.shared_value from mine_used where mine_used.kind = 'payment_id')
    or organization_id in (select mine_used.shared_value from mine_used where mine_used.kind = 'organization_id')
),

usage as (
  select facts.account_id, facts.kind, facts.shared_value, count(*) as n_records, max(facts.event_time) as last_seen
  from (
    unpivot touched on client_network, payment_id, organization_id into name kind value shared_value
  ) as facts
  join mine_used on mine_used.kind = facts.kind and mine_used.shared_value = facts.shared_value
  group by facts.account_id, facts.kind, facts.shared_value
),

commonness as (
  select kind, shared_value, count(*) as n_accounts
  from usage
  group by kind, shared_value
)

select
  usage.account_id,
  usage.kind,
  count(*) as n_shared,
  min(commonness.n_accounts) as accounts_with_it,
  arg_min(usage.shared_value, commonness.n_accounts) as rarest_shared,
  sum(usage.n_records)::bigint as records_of_other,
  sum(mine_used.n_records)::bigint as records_of_this,
  max(usage.last_seen) as last_seen
from usage
join mine_used using (kind, shared_value)
join commonness using (kind, shared_value)
where usage.account_id <> $account_id and commonness.n_accounts <= $most_accounts
group by usage.account_id, usage.kind
order by accounts_with_it, n_shared desc, usage.account_id, usage.kind
limit $limit_rows;
