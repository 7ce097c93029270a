-- name: identifiers_to_export
-- question: Which identifiers belong to accounts that were found attacking, and who else uses them?
-- topic: indicators
-- parameters:
--   also_alerts boolean = false: also accounts with an alert on them or on a cluster that names them, on which no verdict stands
-- grain: one row per account and identifier (`account`, `network`, `payment`, `user agent`)
-- reads: standing_verdicts, alerts, account_scores, records
-- detects: what others can look for: see `distillwatch indicators export`
-- does not detect: accounts without a standing verdict `attack`, unless alerts are asked for
-- false positives: shared networks and programs: `accounts_elsewhere` says how many accounts that are not exported use a value
-- next step: `accounts_named_by_others` for what others found
with decided as (
  select subject_id as account_id, 'verdict' as basis, via_cluster as campaign, decided_at as based_at, null::double as q_value
  from standing_verdicts
  where subject_kind = 'account' and verdict = 'attack'
),

every_alert as (
  select
    unnest(members) as account_id,
    case when subject_kind = 'cluster' then subject_id end as campaign,
    as_of as based_at,
    fdr
  from alerts
),

alerted as (
  select account_id, 'alert' as basis, max(campaign) as campaign, max(based_at) as based_at, min(fdr) as q_value
  from every_alert
  where
    $also_alerts
    and account_id not in (select subject_id from standing_verdicts where subject_kind = 'account')
  group by account_id
),

chosen as (
  select * from decided
  union all
  select * from alerted
),

theirs as (
  select client_network, payment_id, user_agent
  from records
  where account_id in (select chosen.account_id from chosen)
),

touched as (
  -- One pass over the lake keeps what an exported account did or what has a value in common with it.
  select account_id, event_time, client_network, payment_id, user_agent
  from records
  where
    account_id in (select chosen.account_id from chosen)
    or client_network in (select theirs.client_network from theirs where theirs.client_network is not null)
    or payment_id in (select theirs.payment_id from theirs where theirs.payment_id is not null)
    or user_agent in (select theirs.user_agent from theirs where theirs.user_agent is not null)
),

facts as (
  select account_id, event_time, 'account' as kind, account_id as value from touched
  union all
  select account_id, event_time, 'network' as kind, client_network as value from touched
  union all
  select account_id, event_time, 'payment' as kind, payment_id as value from touched
  union all
  select account_id, event_time, 'user agent' as kind, user_agent as value from touched
),

used as (
  select
    account_id,
    kind,
    value,
    count(*) as records,
    min(event_time) as first_seen,
    max(event_time) as last_seen
  from facts
  where value is not null
  group by account_id, kind, value
),

commonness as (
  select kind, value, count(*) filter (where account_id not in (select c.account_id from chosen as c)) as accounts_elsewhere
  from used
  group by kind, value
)

select
  chosen.account_id,
  chosen.basis,
  chosen.campaign,
  chosen.based_at,
  chosen.q_value,
  account_scores.p_value,
  used.kind,
  used.value,
  used.records,
  used.first_seen,
  used.last_seen,
  commonness.accounts_elsewhere
from chosen
join used on used.account_id = chosen.account_id
join commonness on commonness.kind = used.kind and commonness.value = used.value
left join account_scores on account_scores.account_id = chosen.account_id
order by chosen.account_id, used.kind, used.value;
