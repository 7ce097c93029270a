-- name: cluster_graph
-- question: What ties the members of this cluster to each other, pair by pair?
-- topic: cluster
-- parameters:
--   cluster_id text: the cluster, by its lasting name
--   least_score number = -1000: log-odds of one operator that an edge must have
-- grain: one row per edge, the strongest first
-- reads: cluster_edges
-- detects: on what each tie rests: networks and payment that few share, the same prompts shared less often than chance
--   allows (a divided list, `overlap_deficit`), templates, settings, clients, rhythm, pivots at the same time
-- does not detect: ties that were weaker than the most likely ones of each member: those are not kept
-- false positives: two colleagues share a network and a payment; two programs of one maker share templates and settings
-- instead: `case_edges` for the cluster that an account is in, when its name is not known
-- next step: `overlap_between_accounts` for a pair
select
  account_a,
  account_b,
  score,
  shared_networks,
  shared_payments,
  cosine,
  topic_cosine,
  topic_distance,
  overlap,
  expected_overlap,
  overlap_deficit,
  template_overlap,
  same_sampling,
  same_agents,
  synchrony,
  pivot_gap,
  list_filter(
    [
      case when shared_networks > 0 then 'network' end,
      case when shared_payments > 0 then 'payment' end,
      case when template_overlap > 0 then 'templates' end,
      case when overlap > 0 then 'prompts' end
    ],
    lambda tie: tie is not null
  ) as shared,
  as_of
from cluster_edges
where cluster_id = $cluster_id and score >= $least_score
order by score desc, account_a, account_b;
