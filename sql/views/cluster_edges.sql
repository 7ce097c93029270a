-- name: cluster_edges
-- question: What ties the members of a cluster to each other?
-- grain: one row per cluster and pair of members, the most likely ones of each member, of the newest scoring. Earlier ones: `raw.cluster_edges`.
-- reads: raw.cluster_edges, raw.account_scores
create view cluster_edges as
select *
from raw.cluster_edges
where as_of = greatest((select max(as_of) from raw.account_scores), (select max(as_of) from raw.cluster_edges));
