-- name: account_summary
-- question: What is there to know about this account at a glance?
-- topic: account
-- parameters:
--   account_id text: the account
-- grain: one row; none when nothing of the account has landed
-- reads: records, account_topics, account_scores, clusters, standing_verdicts, alerts, topic_entropy, unseen_mass, top_share
-- detects: size, age, spread and settings of an account, with its newest score, its cluster and the verdict that stands
-- does not detect: why it scored as it did; anything that needs its order of requests
-- false positives: none: this describes
-- next step: `why_flagged`, `account_timeline`, `account_records`
with used as (
  select
    account_id,
    count(*) as records,
    min(event_time) as first_seen,
    max(event_time) as last_seen,
    count(distinct event_time::date) as active_days,
    sum(input_tokens)::bigint as input_tokens,
    sum(output_tokens)::bigint as output_tokens,
    avg(input_tokens) as mean_input_tokens,
    avg(output_tokens) as mean_output_tokens,
    count(distinct prompt_hash) as prompts,
    count(distinct template_hash) as templates,
    count(distinct system_prompt_hash) as system_prompts,
    count(distinct model) as models,
    count(distinct client_network) as client_networks,
    count(distinct country) as countries,
    count(distinct user_agent) as user_agents,
    count(distinct payment_id) as payments,
    count(distinct organization_id) as organizations,
    mode(model order by model) as most_used_model,
    -- Missing settings count as not asked for.
    count(*) filter (where reasoning_requested) / count(*) as reasoning_share,
    count(*) filter (where logprobs) / count(*) as logprobs_share,
    count(*) filter (where choice_count > 1) / count(*) as multiple_choices_share,
    count(*) filter (where stream) / count(*) as streamed_share
  from records
  where account_id = $account_id
  group by account_id
),

spread as (
  select
    count(*) as topics,
    list({'bucket': topic, 'count': records} order by topic) as topic_count
  from account_topics($account_id)
),

alerted as (
  select count(*) as alerts, arg_max(alert_id, as_of) as newest_alert_id
  from alerts
  where subject_id = $account_id or list_contains(members, $account_id)
),

membership as (
  select min(cluster_id) as cluster_id from clusters where account_id = $account_id
)

select
  used.*,
  spread.topics,
  topic_entropy(spread.topic_count) as topic_entropy,
  top_share(spread.topic_count) as top_topic_share,
  unseen_mass(spread.topic_count) as unseen_topic_mass,
  account_scores.score,
  account_scores.p_value,
  account_scores.q_value,
  account_scores.decision,
  account_scores.benign_class,
  account_scores.records as records_scored,
  account_scores.as_of as scored_as_of,
  membership.cluster_id,
  standing_verdicts.verdict,
  standing_verdicts.owner as verdict_owner,
  standing_verdicts.via_cluster as verdict_via_cluster,
  alerted.alerts,
  alerted.newest_alert_id
from used
cross join spread
cross join alerted
cross join membership
left join account_scores on account_scores.account_id = used.account_id
left join standing_verdicts
  on standing_verdicts.subject_kind = 'account' and standing_verdicts.subject_id = used.account_id;
