-- name: cluster_timeline
-- question: On which days was each member of this cluster at work?
-- topic: cluster
-- parameters:
--   cluster_id text: the cluster, by its lasting name
-- grain: one row per member and day with records, in order of the day
-- reads: clusters, window_deltas
-- detects: members that take turns, or begin and end together
-- does not detect: former members (`members_of_a_cluster`)
-- false positives: colleagues have the same holidays
-- instead: `case_timeline` for windows with their readings, also of a cluster that an old alert names
-- next step: `account_hours` of two members side by side
select
  window_start::date as "day",
  account_id,
  sum(records)::bigint as records,
  count(distinct window_start) as windows
from window_deltas
where account_id in (select clusters.account_id from clusters where clusters.cluster_id = $cluster_id)
group by window_start::date, account_id
order by "day", account_id;
