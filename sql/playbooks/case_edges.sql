-- name: case_edges
-- question: What ties the accounts of a case to each other, edge by edge?
-- topic: case
-- parameters:
--   subject text: a cluster's id or name, or an account's id: then the edges of its cluster
-- grain: one row per pair of accounts, the strongest first
-- reads: subject_accounts, clusters, cluster_edges
-- detects: pairs that are alike in content, parameters, times, networks or payment, with the evidence of each kind
-- does not detect: pairs that scoring did not compare, or that are not among the likeliest of either account
-- false positives: tenants of one application, workers that share a job out, a laboratory
-- instead: `cluster_graph` where the cluster's name is known: it sorts out on what each tie rests, and leaves out weak ones
-- next step: `overlap` far below `expected_overlap` can be a list that was shared out (an overlap deficit below 2 may be chance); `case_networks` says who else shares
with accounts as (
  select account_id from subject_accounts($subject)
),

around as (
  select distinct cluster_id from clusters where account_id in (select accounts.account_id from accounts)
)

select cluster_edges.*
from cluster_edges
join around using (cluster_id)
order by cluster_edges.score desc, cluster_edges.account_a, cluster_edges.account_b;
