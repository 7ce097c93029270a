-- name: clusters
-- question: Which accounts look operated together, and on what does that rest?
-- grain: one row per cluster and member of the newest scoring. Earlier ones: `raw.clusters`.
-- reads: raw.clusters, raw.account_scores
create view clusters as
select *
from raw.clusters
where as_of = greatest((select max(as_of) from raw.account_scores), (select max(as_of) from raw.clusters));
