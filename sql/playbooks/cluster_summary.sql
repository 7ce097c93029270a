-- name: cluster_summary
-- question: What is there to know about this cluster at a glance?
-- topic: cluster
-- parameters:
--   cluster_id text: the cluster, by its lasting name or the name made of its members
-- grain: one row; none when the newest scoring knows no such cluster
-- reads: cluster_scores, clusters, cluster_edges, cluster_changes, account_scores, standing_verdicts, alerts
-- detects: size, age, score of the members' sum, what ties them, how many of them were noticed alone
-- does not detect: clusters that have dissolved (`members_of_a_cluster` knows who was in them)
-- false positives: offices, classes and companies share networks and payment: see `shared`, and the score of the sum
-- next step: `members_of_a_cluster`, `cluster_graph`
with chosen as (
  select * from cluster_scores where cluster_id = $cluster_id or members_hash = $cluster_id
),

inside as (
  select
    clusters.cluster_id,
    count(*) filter (where account_scores.decision = 'alert') as members_alerted,
    count(*) filter (where account_scores.decision = 'cannot_tell') as members_cannot_tell,
    max(clusters.records) as records_of_largest,
    median(clusters.records) as median_records,
    min(clusters.centroid_cosine) as lowest_centroid_cosine,
    median(clusters.centroid_cosine) as median_centroid_cosine
  from clusters
  join chosen using (cluster_id)
  left join account_scores on account_scores.account_id = clusters.account_id
  group by clusters.cluster_id
),

ties as (
  select
    cluster_edges.cluster_id,
    count(*) as edges,
    max(cluster_edges.score) as strongest_edge,
    count(*) filter (where cluster_edges.shared_networks > 0) as edges_with_networks,
    count(*) filter (where cluster_edges.shared_payments > 0) as edges_with_payments
  from cluster_edges
  join chosen using (cluster_id)
  group by cluster_edges.cluster_id
),

history as (
  select
    cluster_changes.cluster_id,
    min(cluster_changes.as_of) as known_since,
    count(*) filter (where cluster_changes.change = 'joined') as joined,
    count(*) filter (where cluster_changes.change = 'left') as has_left
  from cluster_changes
  join chosen using (cluster_id)
  group by cluster_changes.cluster_id
),

alerted as (
  select chosen.cluster_id, count(*) as alerts, arg_max(alerts.alert_id, alerts.as_of) as newest_alert_id
  from alerts
  join chosen on alerts.subject_kind = 'cluster' and alerts.subject_id in (chosen.cluster_id, chosen.members_hash)
  group by chosen.cluster_id
)

select
  chosen.cluster_id,
  chosen.members_hash,
  chosen.members,
  chosen.records,
  chosen.score,
  chosen.p_value,
  chosen.q_value,
  chosen.decision,
  chosen.links,
  chosen.shared,
  chosen.first_seen,
  chosen.last_seen,
  chosen.as_of,
  inside.members_alerted,
  inside.members_cannot_tell,
  inside.records_of_largest,
  inside.median_records,
  inside.lowest_centroid_cosine,
  inside.median_centroid_cosine,
  ties.edges,
  ties.strongest_edge,
  ties.edges_with_networks,
  ties.edges_with_payments,
  history.known_since,
  history.joined,
  history.has_left,
  standing_verdicts.verdict,
  standing_verdicts.owner as verdict_owner,
  coalesce(alerted.alerts, 0) as alerts,
  alerted.newest_alert_id
from chosen
left join inside using (cluster_id)
left join ties using (cluster_id)
left join history using (cluster_id)
left join alerted using (cluster_id)
left join standing_verdicts
  on standing_verdicts.subject_kind = 'cluster' and standing_verdicts.subject_id = chosen.cluster_id;
