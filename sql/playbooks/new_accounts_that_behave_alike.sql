-- name: new_accounts_that_behave_alike
-- question: Which new accounts ask for the like with the like settings as other new accounts?
-- topic: hunt
-- cost: the whole lake: seconds where it is large
-- parameters:
--   since timestamp = 1970-01-01: accounts whose first record is not older than this
--   least_likeness number = 0.3: product of the cosines of topics and of settings that a pair must reach; pairs with nothing in common never do
--   min_records integer = 10: records that an account must have
--   most_accounts integer = 300: the newest accounts to compare; pairs grow with the square
--   limit_rows integer = 50: rows to show
-- grain: one row per account, the one with most others like it first
-- reads: account_scores, window_deltas, records, safe_div
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

theirs as (
  select account_id, topic_count, sampling_hashed_count
  from window_deltas
  where account_id in (select newest.account_id from newest)
),

counted as (
  select account_id, kind, entry.bucket as bucket, sum(entry."count")::double as n_records
  from (
    select account_id, 'topic' as kind, unnest(topic_count) as entry from theirs
    union all
    select account_id, 'sampling' as kind, unnest(sampling_hashed_count) as entry from theirs
  )
  group by account_id, kind, bucket
),

lengths as (
  select account_id, kind, sum(n_records * n_records) as length2 from counted group by account_id, kind
),

products as (
  -- Joined bucket by bucket: two accounts meet only where both have something.
  select
    a.account_id as account_a,
    b.account_id as account_b,
    sum(a.n_records * b.n_records) filter (where a.kind = 'topic') as topics,
    sum(a.n_records * b.n_records) filter (where a.kind = 'sampling') as samplings
  from counted as a
  join counted as b on a.kind = b.kind and a.bucket = b.bucket and a.account_id < b.account_id
  group by a.account_id, b.account_id
),

pairs as (
  select
    products.account_a,
    products.account_b,
    safe_div(products.topics, sqrt(topics_a.length2 * topics_b.length2))
    * safe_div(products.samplings, sqrt(samplings_a.length2 * samplings_b.length2)) as likeness
  from products
  join lengths as topics_a on topics_a.account_id = products.account_a and topics_a.kind = 'topic'
  join lengths as topics_b on topics_b.account_id = products.account_b and topics_b.kind = 'topic'
  join lengths as samplings_a on samplings_a.account_id = products.account_a and samplings_a.kind = 'sampling'
  join lengths as samplings_b on samplings_b.account_id = products.account_b and samplings_b.kind = 'sampling'
),

alike as (
  select * from pairs where likeness >= $least_likeness
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

compared as (
  select
    alike.*,
    coalesce(list_has_any(mean_a.client_networks, mean_b.client_networks), false) as share_networks,
    coalesce(list_has_any(mean_a.payments, mean_b.payments), false) as share_payments
  from alike
  join means as mean_a on mean_a.account_id = alike.account_a
  join means as mean_b on mean_b.account_id = alike.account_b
),

both_ways as (
  select account_a as account_id, account_b as other, likeness, share_networks, share_payments from compared
  union all
  select account_b as account_id, account_a as other, likeness, share_networks, share_payments from compared
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
