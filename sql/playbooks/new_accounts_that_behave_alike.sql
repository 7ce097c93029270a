-- name: new_accounts_that_behave_alike
-- question: Which new accounts ask for the like with the like settings as other new accounts?
-- topic: hunt
-- cost: the whole lake: seconds where it is large
-- parameters:
--   since timestamp = 1970-01-01: accounts whose first record is not older than this
--   least_likeness number = 0.3: product of the cosines of topics and of settings that a pair must reach; pairs with nothing in common never do
--   min_records integer = 10: records that an account must have
--   most_accounts integer = 300: the newest accounts to compare; pairs grow with the square
--   least_ties integer = 1: pairs with a network or payment in common, among the account and those like it; 0 asks for likeness alone
--   most_users integer = 10: a network or payment that more accounts of the lake use, such as a carrier's, ties nobody
--   limit_rows integer = 50: rows to show
-- grain: one row per account, the one with most ties around it first
-- reads: account_scores, window_deltas, records, safe_div
-- detects: accounts set up to share one list: many like each other, each too small for a score. `share_networks` and
--   `share_payments` count those of them with a network or a payment in common, `ties` also the pairs among those
-- does not detect: members whose parts of the list lie in different topics, and by default members that keep networks and
--   payments apart; accounts older than `since`
-- false positives: customers of one application; students of one course; support bots of one maker; two strangers in one
--   office. Without shared networks or payments likeness is common, two chats about everything are alike: with `least_ties=0`
--   74 accounts of the lake in `docs/investigators.md` qualify, and 58 and 74 of 300 accounts of lakes without any attacker
--   (`simulate --attack-share 0 --accounts 300 --records 40000 --seed 991`, and 992); by default 8 (five
--   of them the planted hydra's, the first among them), 0 and 2. On the same lake with `--seed 4` it finds 2 of its hydra
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

used as (
  select distinct 'network' as kind, client_network as used_value, account_id
  from records
  where client_network is not null
  union all
  select distinct 'payment' as kind, payment_id as used_value, account_id
  from records
  where payment_id is not null
),

telling as (
  select kind, used_value from used group by kind, used_value having count(*) between 2 and $most_users
),

means as (
  select
    used.account_id,
    list(used.used_value) filter (where used.kind = 'network') as client_networks,
    list(used.used_value) filter (where used.kind = 'payment') as payments
  from used
  join telling using (kind, used_value)
  where used.account_id in (select newest.account_id from newest)
  group by used.account_id
),

compared as (
  select
    alike.*,
    coalesce(list_has_any(mean_a.client_networks, mean_b.client_networks), false) as share_networks,
    coalesce(list_has_any(mean_a.payments, mean_b.payments), false) as share_payments
  from alike
  left join means as mean_a on mean_a.account_id = alike.account_a
  left join means as mean_b on mean_b.account_id = alike.account_b
),

both_ways as (
  select account_a as account_id, account_b as other, likeness, share_networks, share_payments from compared
  union all
  select account_b as account_id, account_a as other, likeness, share_networks, share_payments from compared
),

between_others as (
  -- Two that are like the same account, and have something in common.
  select a.account_id, count(*) as ties
  from both_ways as a
  join both_ways as b on b.account_id = a.account_id and a.other < b.other
  join compared on compared.account_a = a.other and compared.account_b = b.other
  where compared.share_networks or compared.share_payments
  group by a.account_id
)

select
  newest.account_id,
  count(*) as alike,
  count(*) filter (where both_ways.share_networks) as share_networks,
  count(*) filter (where both_ways.share_payments) as share_payments,
  count(*) filter (where both_ways.share_networks or both_ways.share_payments)
  + coalesce(any_value(between_others.ties), 0) as ties,
  max(both_ways.likeness) as highest_likeness,
  list_slice(list(both_ways.other order by both_ways.likeness desc, both_ways.other), 1, 10) as most_alike,
  newest.first_seen,
  newest.records,
  newest.decision,
  newest.benign_class
from newest
join both_ways using (account_id)
left join between_others using (account_id)
group by newest.account_id, newest.first_seen, newest.records, newest.decision, newest.benign_class
having ties >= $least_ties
order by ties desc, alike desc, newest.account_id
limit $limit_rows;
