-- name: account_timeline
-- question: What did this account do, window by window?
-- topic: account
-- parameters:
--   account_id text: the account
--   since timestamp = 1970-01-01: first window to show
--   until timestamp = 9999-01-01: show windows before this
-- grain: one row per window of the account, oldest first
-- reads: account_timeline
-- detects: bursts, sudden changes of topic spread, of parameters, of the share of prompts that ask for reasoning
-- does not detect: the order of requests inside a window; anything that several accounts do together
-- false positives: a new feature of an honest customer changes its timeline as abruptly as a harvest does
-- instead: `case_timeline` for all accounts of a cluster in one answer, with fewer readings
-- next step: `why_flagged` for the same account; where one window stands out, its records:
--   select * exclude (embedding) from records where account_id = ... and event_time >= ... order by event_time
select *
from account_timeline($account_id)
where window_start >= $since and window_start < $until
order by window_start;
