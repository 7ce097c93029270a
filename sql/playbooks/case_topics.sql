-- name: case_topics
-- question: Over which topics do the prompts of a case spread, beside accounts of its benign class?
-- topic: case
-- parameters:
--   subject text: an account's id, or a cluster's id or name
--   class_accounts integer = 80: accounts of the class to compare with, chosen by a hash of their ids
--   fewest integer = 5: where fewer accounts of the class can be compared with, accounts of any class are
-- grain: one row per account and topic; `role` is `subject`, or `class` for an account of the class most of the subject's
--   accounts were assigned to that was judged clear and has at least 50 records
-- reads: subject_accounts, account_scores, window_deltas
-- detects: coverage: how many topics so many records meet, and how evenly
-- does not detect: what a topic is about: topics are cells of a codebook
-- false positives: reference works, evaluation harnesses and resellers cover much as well
-- instead: `topic_coverage_against_class` for one account against its class as a whole, topic by topic
-- next step: `case_prompts` for where the prompts lie
with members as (
  select account_id from subject_accounts($subject)
),

others as (
  select account_id, benign_class
  from account_scores
  where
    decision = 'clear' and records >= 50
    and account_id not in (select members.account_id from members)
),

class as (
  -- The class of most of the subject's records, where enough others belong to it to compare with.
  select account_scores.benign_class
  from account_scores
  where
    account_scores.account_id in (select members.account_id from members)
    and (select count(*) from others where others.benign_class = account_scores.benign_class) >= $fewest
  group by account_scores.benign_class
  order by sum(account_scores.records) desc, account_scores.benign_class
  limit 1
),

compared as (
  select account_id, 'subject' as role from members
  union all
  (
    select account_id, 'class' as role
    from others
    where coalesce(benign_class = (select class.benign_class from class), (select count(*) from class) = 0)
    order by md5(account_id), account_id
    limit $class_accounts
  )
),

cells as (
  -- Deltas and not windows: a join reaches the files only before deltas are added up.
  select compared.role, window_deltas.account_id, unnest(window_deltas.topic_count) as cell
  from window_deltas
  join compared on compared.account_id = window_deltas.account_id
)

select
  role,
  account_id,
  cell.bucket as topic,
  sum(cell.count)::bigint as records,
  (select class.benign_class from class) as benign_class
from cells
group by role, account_id, cell.bucket
order by role desc, account_id, topic;
