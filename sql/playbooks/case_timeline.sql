-- name: case_timeline
-- question: When were the accounts of a case at work, and with what?
-- parameters:
--   subject text: an account's id, or a cluster's id or name
-- grain: one row per account of the subject and window, in order of time
-- reads: subject_accounts, windows, topic_entropy, safe_div
-- detects: shifts, breaks, accounts that begin or rest together, a change of length or of reasoning
-- does not detect: the order of requests inside a window
-- false positives: scheduled jobs and offices begin and rest together too
-- next step: `case_parameters` where the way of asking changes
select
  windows.window_start,
  windows.account_id,
  windows.records,
  len(windows.topic_count) as topics,
  topic_entropy(windows.topic_count) as topic_entropy,
  safe_div(windows.input_tokens, windows.records) as mean_input_tokens,
  safe_div(windows.output_tokens, windows.records) as mean_output_tokens,
  safe_div(windows.reasoning_requested, windows.records) as reasoning_share,
  safe_div(windows.refusals, windows.records) as refusal_share
from windows
where windows.account_id in (select members.account_id from subject_accounts($subject) as members)
order by windows.window_start, windows.account_id;
