-- name: members_of_a_cluster
-- question: Who is and was in this cluster, and since when?
-- topic: cluster
-- parameters:
--   cluster_id text: the cluster, by its lasting name
-- grain: one row per account that is in the cluster or ever was; members of today first, those with most records before
-- reads: clusters, cluster_changes, account_scores, standing_verdicts
-- detects: accounts that joined lately (a banned account's replacement), hubs (`links`), members that fit badly
--   (`centroid_cosine`)
-- does not detect: members between two scorings; accounts that left before the lake's history begins
-- false positives: an account with few links and a low cosine may have been drawn in by one shared network
-- instead: `case_accounts` for the members that an alert named, also after the cluster dissolved
-- next step: `cluster_graph` for what ties it to the others, `overlap_between_accounts` for two of them
with history as (
  select
    account_id,
    min(as_of) filter (where change = 'joined') as first_joined,
    max(as_of) filter (where change = 'joined') as last_joined,
    max(as_of) filter (where change = 'left') as last_left
  from cluster_changes
  where cluster_id = $cluster_id
  group by account_id
),

today as (
  select * from clusters where cluster_id = $cluster_id
)

select
  coalesce(today.account_id, history.account_id) as account_id,
  today.account_id is not null as is_member,
  coalesce(today.records, account_scores.records) as records,
  today.centroid_cosine,
  today.links,
  today.shared,
  coalesce(today.in_cluster_since, history.last_joined) as joined_at,
  history.first_joined as first_joined_at,
  case when today.account_id is null then history.last_left end as left_at,
  account_scores.decision,
  account_scores.score,
  account_scores.p_value,
  account_scores.benign_class,
  account_scores.first_seen,
  account_scores.last_seen,
  standing_verdicts.verdict
from today
full join history on history.account_id = today.account_id
left join account_scores on account_scores.account_id = coalesce(today.account_id, history.account_id)
left join standing_verdicts
  on standing_verdicts.subject_kind = 'account'
  and standing_verdicts.subject_id = coalesce(today.account_id, history.account_id)
order by is_member desc, records desc nulls last, account_id;
