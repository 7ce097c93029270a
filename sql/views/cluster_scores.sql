-- name: cluster_scores
-- question: How suspicious is each cluster, scored as the sum of its members?
-- grain: one row per cluster of the newest scoring; none when that scoring formed no cluster. Earlier ones: `raw.cluster_scores`.
-- reads: raw.cluster_scores, raw.account_scores
create view cluster_scores as
select *
from raw.cluster_scores
-- The newest scoring of anything: otherwise clusters that have dissolved would stay current.
where as_of = greatest((select max(as_of) from raw.account_scores), (select max(as_of) from raw.cluster_scores));
