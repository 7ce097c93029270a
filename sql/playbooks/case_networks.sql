-- name: case_networks
-- question: From which networks, by which payment and with which programs was a case operated, and who else uses them?
-- topic: case
-- cost: the whole lake: seconds where it is large
-- parameters:
--   subject text: an account's id, or a cluster's id or name
--   limit_rows integer = 60: rows to show
-- grain: one row per kind of identifier and value, those that most of the subject's accounts share first
-- reads: subject_accounts, records
-- detects: what the accounts of a cluster share, and how rare it is elsewhere
-- does not detect: operators that keep networks and payment apart
-- false positives: offices, carriers, cloud regions and popular libraries: `accounts_elsewhere` says how common a value is
-- instead: `account_networks` for what one account uses together, at a fraction of the cost
-- next step: `who_shares_networks_or_payment` for one of the accounts
with members as (
  select account_id from subject_accounts($subject)
),

mine as (
  unpivot (
    select client_network as network, payment_id as payment, organization_id as organization, user_agent as "user agent"
    from records
    where account_id in (select members.account_id from members)
  )
  on network, payment, organization, "user agent"
  into name kind value "value"
),

wanted as (
  select distinct kind, "value" from mine
),

touched as (
  -- One pass over the lake keeps what could match; only that is taken apart.
  select
    account_id,
    event_time,
    client_network as network,
    payment_id as payment,
    organization_id as organization,
    user_agent as "user agent"
  from records
  where
    client_network in (select wanted."value" from wanted where wanted.kind = 'network')
    or payment_id in (select wanted."value" from wanted where wanted.kind = 'payment')
    or organization_id in (select wanted."value" from wanted where wanted.kind = 'organization')
    or user_agent in (select wanted."value" from wanted where wanted.kind = 'user agent')
),

facts as (
  select taken.kind, taken."value", taken.account_id, taken.event_time, members.account_id is not null as is_member
  from (
    unpivot touched on network, payment, organization, "user agent" into name kind value "value"
  ) as taken
  join wanted on wanted.kind = taken.kind and wanted."value" = taken."value"
  left join members on members.account_id = taken.account_id
),

used as (
  select
    kind,
    "value",
    count(*) filter (where is_member) as records,
    count(distinct account_id) filter (where is_member) as accounts,
    count(distinct account_id) filter (where not is_member) as accounts_elsewhere,
    min(event_time) filter (where is_member) as first_seen,
    max(event_time) filter (where is_member) as last_seen
  from facts
  group by kind, "value"
)

select *
from used
order by accounts desc, accounts_elsewhere, records desc, kind, "value"
limit $limit_rows;
