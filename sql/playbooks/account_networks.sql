-- name: account_networks
-- question: From which networks and clients, and paid how, does this account come?
-- topic: account
-- parameters:
--   account_id text: the account
--   limit_rows integer = 100: rows to show
-- grain: one row per client network, user agent, payment and organisation used together, the most frequent first
-- reads: records, safe_div
-- detects: proxies (many networks, taken in turn), changes of payment, several clients behind one account
-- does not detect: who else uses them
-- false positives: travellers, carriers and cloud functions change networks all day
-- instead: `case_networks` for a cluster, or to see at once who else uses each value
-- next step: `who_shares_networks_or_payment`
with mine as (
  select
    client_network,
    asn,
    country,
    user_agent,
    payment_id,
    organization_id,
    count(*) as records,
    count(distinct event_time::date) as active_days,
    min(event_time) as first_seen,
    max(event_time) as last_seen
  from records
  where account_id = $account_id
  group by all
)

select
  *,
  safe_div(records, sum(records) over ()) as share,
  count(*) over () as combinations
from mine
order by records desc, first_seen, client_network, user_agent, payment_id, organization_id, asn, country
limit $limit_rows;
