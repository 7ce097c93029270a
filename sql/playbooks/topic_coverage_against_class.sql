-- name: topic_coverage_against_class
-- question: Which topics does this account cover, beside accounts of its benign class?
-- topic: account
-- parameters:
--   account_id text: the account
--   benign_class text = null: compare with this class; by default the account's own, or everybody where it has none
--   most_accounts integer = 40: accounts of the class to compare with, chosen by a hash of their ids
-- grain: one row per topic that the account or the class touches, in order of the topic
-- reads: account_scores, account_topics, window_deltas, safe_div
-- detects: coverage far beyond what the class shows: topics that hardly any of its accounts touch, evenly covered
-- does not detect: what a topic is about: topics are cells of a codebook
-- false positives: small classes look narrow; a broad account of a narrow class may have been put there for other reasons
-- instead: `case_topics` for a cluster, or for every account of the class by itself
-- next step: `coverage_growth` for whether it goes on; `what_a_class_looks_like`
with class as (
  select coalesce($benign_class, max(benign_class)) as benign_class from account_scores where account_id = $account_id
),

peers as (
  select account_scores.account_id
  from account_scores
  cross join class
  where
    (class.benign_class is null or account_scores.benign_class = class.benign_class)
    and account_scores.account_id <> $account_id
    and account_scores.decision in ('clear', 'allowed')
  order by md5(account_scores.account_id), account_scores.account_id
  limit $most_accounts
),

peer_topics as (
  select account_id, entry.bucket as topic, sum(entry."count")::bigint as records
  from (
    select account_id, unnest(topic_count) as entry
    from window_deltas
    where account_id in (select peers.account_id from peers)
  )
  group by account_id, topic
),

of_class as (
  select topic, count(*) as accounts, sum(records)::bigint as records from peer_topics group by topic
),

totals as (
  select (select count(distinct account_id) from peer_topics) as accounts, (select sum(records) from peer_topics) as records
),

mine as (
  select topic, records, safe_div(records, sum(records) over ()) as share from account_topics($account_id)
)

select
  coalesce(mine.topic, of_class.topic) as topic,
  coalesce(mine.records, 0) as records,
  coalesce(mine.share, 0) as share,
  coalesce(of_class.accounts, 0) as class_accounts,
  coalesce(of_class.records, 0) as class_records,
  coalesce(safe_div(of_class.records, totals.records), 0) as class_share,
  safe_div(coalesce(of_class.accounts, 0), totals.accounts) as share_of_class_accounts,
  totals.accounts as class_accounts_in_all,
  class.benign_class
from mine
full join of_class on of_class.topic = mine.topic
cross join totals
cross join class
where (select count(*) from mine) > 0
order by topic;
