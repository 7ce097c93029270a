-- name: case_timeline
-- question: When were the accounts of a case at work, and with what?
-- topic: case
-- parameters:
--   subject text: an account's id, or a cluster's id or name
-- grain: one row per account of the subject and window, in order of time
-- reads: subject_accounts, window_deltas, merge_counts, topic_entropy, safe_div
-- detects: shifts, breaks, accounts that begin or rest together, a change of length or of reasoning
-- does not detect: the order of requests inside a window
-- false positives: scheduled jobs and offices begin and rest together too
-- instead: `account_timeline` for one account: it has networks, settings and latencies too; `cluster_timeline` for days instead of windows
-- next step: `case_parameters` where the way of asking changes
with deltas as (
  -- Deltas and not windows: a join reaches the files only before deltas are added up.
  select *
  from window_deltas
  where account_id in (select members.account_id from subject_accounts($subject) as members)
),

summed as (
  select
    window_start,
    account_id,
    sum(records)::bigint as records,
    merge_counts(flatten(list(topic_count))) as topic_count,
    sum(input_tokens) as input_tokens,
    sum(output_tokens) as output_tokens,
    sum(reasoning_requested) as reasoning_requested,
    sum(refusals) as refusals
  from deltas
  group by window_start, account_id
)

select
  window_start,
  account_id,
  records,
  len(topic_count) as topics,
  topic_entropy(topic_count) as topic_entropy,
  safe_div(input_tokens, records) as mean_input_tokens,
  safe_div(output_tokens, records) as mean_output_tokens,
  safe_div(reasoning_requested, records) as reasoning_share,
  safe_div(refusals, records) as refusal_share
from summed
order by window_start, account_id;
