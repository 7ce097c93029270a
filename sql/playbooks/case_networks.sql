-- name: case_networks
-- question: From which networks, by which payment and with which programs was a case operated, and who else uses them?
-- parameters:
--   subject text: an account's id, or a cluster's id or name
--   limit_rows integer = 60: rows to show
-- grain: one row per kind of identifier and value, those that most of the subject's accounts share first
-- reads: subject_accounts, records
-- detects: what the accounts of a cluster share, and how rare it is elsewhere
-- does not detect: operators that keep networks and payment apart
-- false positives: offices, carriers, cloud regions and popular libraries: `accounts_elsewhere` says how common a value is
-- next step: `who_shares_networks_or_payment` for one of the accounts
with members as (
  select account_id from subject_accounts($subject)
),

facts as (
  select account_id, event_time, 'network' as kind, client_network as value from records
  union all
  select account_id, event_time, 'payment' as kind, payment_id as value from records
  union all
  select account_id, event_time, 'organization' as kind, organization_id as value from records
  union all
  select account_id, event_time, 'user agent' as kind, user_agent as value from records
),

used as (
  select
    kind,
    value,
    count(*) filter (where account_id in (select members.account_id from members)) as records,
    count(distinct account_id) filter (where account_id in (select members.account_id from members)) as accounts,
    count(distinct account_id) filter (where account_id not in (select members.account_id from members)) as accounts_elsewhere,
    min(event_time) filter (where account_id in (select members.account_id from members)) as first_seen,
    max(event_time) filter (where account_id in (select members.account_id from members)) as last_seen
  from facts
  where value is not null
  group by kind, value
)

select *
from used
where records > 0
order by accounts desc, accounts_elsewhere, records desc, kind, value
limit $limit_rows;
