-- name: standing_verdicts
-- question: Which verdicts stand as of the newest scoring, and for whom?
-- grain: one row per account or cluster that a verdict holds for: the newest on it, not withdrawn, not expired as of the
--   newest scoring (`as_of`; null while nothing was scored, and then nothing has expired). A cluster's verdict holds for
--   those who were its members when it was decided, unless they have one of their own; `via_cluster` names the cluster.
-- reads: verdicts, raw.account_scores
create view standing_verdicts as
with scored as (
  select max(as_of) as as_of from raw.account_scores
),

live as (
  select
    scored.as_of,
    v.* exclude (withdraws, is_withdrawn, is_newest)
  from scored cross join verdicts as v
  where v.is_newest and (v.expires_at is null or scored.as_of is null or scored.as_of < v.expires_at)
),

every_holder as (
  select *, null::varchar as via_cluster from live
  union all by name
  select
    * exclude (members) replace ('account' as subject_kind, unnest(members) as subject_id),
    subject_id as via_cluster
  from live
  where subject_kind = 'cluster'
)

select *
from every_holder
qualify row_number() over (
  partition by subject_kind, subject_id order by via_cluster is not null, decided_at desc, verdict_id
) = 1;
