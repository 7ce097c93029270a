-- name: subject_accounts
-- question: Which accounts is a case about: the account of this id, or the members of the cluster of this id or name?
-- grain: one row per account. A cluster that an alert speaks of has the members that the alert names, so that a case
--   shows what was judged; another one has its members by the newest scoring. `in_cluster_since` is null for an account.
-- reads: alerts, clusters, cluster_scores
create macro subject_accounts(subject) as table
  with named as (
    select cluster_id from cluster_scores where cluster_id = subject or members_hash = subject
    union
    select cluster_id from clusters where cluster_id = subject
    union
    select subject_id as cluster_id from alerts where subject_kind = 'cluster' and subject_id = subject
  ),

  alerted as (
    select members
    from alerts
    join named on named.cluster_id = alerts.subject_id
    where alerts.subject_kind = 'cluster'
    order by alerts.as_of desc, alerts.alert_id
    limit 1
  ),

  found as (
    select unnest(members) as account_id from alerted
    union
    select clusters.account_id
    from clusters
    join named using (cluster_id)
    where (select count(*) from alerted) = 0
    union
    select subject as account_id
    where (select count(*) from named) = 0
  )

  select found.account_id, min(clusters.in_cluster_since) as in_cluster_since
  from found
  left join (select clusters.* from clusters join named using (cluster_id)) as clusters
    on clusters.account_id = found.account_id
  group by found.account_id;

-- Tests
select case when list(account_id) = ['nobody'] then true else error('an unknown id is an account') end from subject_accounts('nobody');
