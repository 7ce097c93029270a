-- name: cluster_changes
-- question: Who joined and left which cluster, and as of when?
-- grain: one row per cluster, account and time at which it joined or left, of all scorings.
-- reads: raw.cluster_changes
create view cluster_changes as
select *
from raw.cluster_changes;
