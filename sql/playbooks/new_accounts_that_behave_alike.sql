-- name: new_accounts_that_behave_alike
-- question: Which new accounts ask for the like with the like settings as other new accounts?
-- topic: hunt
-- cost: the whole lake: seconds to minutes where it is large
-- parameters:
--   since timestamp = 1970-01-01: accounts whose first record is not older than this
--   least_likeness number = 0.3: product of the cosines of topics and of settings that a pair must reach
--   min_records integer = 10: records that an account must have
--   most_accounts integer = 300: the newest accounts to compare; pairs grow with the square
--   limit_rows integer = 50: rows to show
-- grain: one row per account, the one with most others like it first
-- reads: account_scores, window_deltas, counts_cosine, records
-- detects: accounts set up to share one list: many like each other, each too small for a score. `share_networks` and
--   `share_payments` count those of them with a network or a payment in common
-- does not detect: members whose parts of the list lie in different topics; accounts older than `since`
-- false positives: customers of one application; students of one course; support bots of one maker. Without shared
--   networks or payment likeness is common: two chats about everything are alike
-- next step: `groups_behind_one_network_or_payment`; `overlap_between_accounts` for a pair
with newest as (
  select account_id, first_seen, records, decision, benign_class
  from account_scores
  where first_seen >= $since and records >= $min_records
  order by first_seen desc, account_id
  limit $most_accounts
),

counted as (
  select account_id, kind, entry.bucket as bucket, sum(entry."count")::bigint as n_records
  from (
    select account_id, 'topic' as kind, unnest(topic_count) as entry
    from window_deltas
    where account_id in (select newest.account_id from newest)
    union all
    select account_id, 'sampling' as kind, unnest(sampling_hashed_count) as entry
    from window_deltas
    where account_id in (select newest.account_id from newest)
  )
  group by account_id, kind, bucket
),

spreads as (
  select
    account_id,
    list({'bucket': bucket, 'count': n_records} order by bucket) filter (where kind = 'topic') as topic_count,
    list({'bucket': bucket, 'count': n_records} order by bucket) filter (where kind = 'sampling') as sampling_count
  from counted
  group by account_id
),

means as (
  select
    account_id,
    list(distinct client_network) filter (where client_network is not null) as client_networks,
    list(distinct payment_id) filter (where payment_id is not null) as payments
  from records
  where account_id in (select newest.account_id from newest)
  group by account_id
),

pairs as (
  select
    a.account_id as account_a,
    b.account_id as account_b,
    counts_cosine(a.topic_count, b.topic_count) as topic_cosine,
    counts_cosine(a.sampling_count, b.sampling_count) as sampling_cosine
  from spreads as a
  join spreads as b on a.account_id < b.account_id
),

alike as (
  select
    pairs.*,
    topic_cosine * sampling_cosine as likeness,
    coalesce(list_has_any(mean_a.client_networks, mean_b.client_networks), false) as share_networks,
    coalesce(list_has_any(mean_a.payments, mean_b.payments), false) as share_payments
  from pairs
  join means as mean_a on mean_a.account_id = pairs.account_a
  join means as mean_b on mean_b.account_id = pairs.account_b
  where topic_cosine * sampling_cosine >= $least_likeness
),

both_ways as (
  select account_a as account_id, account_b as other, likeness, share_networks, share_payments from alike
  union all
  select account_b as account_id, account_a as other, likeness, share_networks, share_payments from alike
)

select
  newest.account_id,
  count(*) as alike,
  count(*) filter (where both_ways.share_networks) as share_networks,
  count(*) filter (where both_ways.share_payments) as share_payments,
  max(both_ways.likeness) as highest_likeness,
  list_slice(list(both_ways.other order by both_ways.likeness desc, both_ways.other), 1, 10) as most_alike,
  newest.first_seen,
  newest.records,
  newest.decision,
  newest.benign_class
from newest
join both_ways using (account_id)
group by newest.account_id, newest.first_seen, newest.records, newest.decision, newest.benign_class
order by count(*) filter (where both_ways.share_networks or both_ways.share_payments) desc, alike desc, newest.account_id
limit $limit_rows;
