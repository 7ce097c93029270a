-- name: account_topics
-- question: Which topics did one account touch, how often and when first?
-- grain: one row per topic of the account, ascending.
-- reads: window_deltas
create macro account_topics(account) as table
  select
    entry.bucket as topic,
    sum(entry."count")::bigint as records,
    min(window_start) as first_window,
    max(window_start) as last_window
  from (select window_start, unnest(topic_count) as entry from window_deltas where account_id = account)
  group by topic
  order by topic;

-- Tests
select case when count(*) = 0 then true else error('unknown account') end from account_topics('nobody');
