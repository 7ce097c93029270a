-- name: case_benign_prompts
-- question: What do prompts of unremarkable accounts of this lake look like?
-- topic: benign
-- parameters:
--   subject text: an account's id, or a cluster's id or name: left out
--   accounts integer = 60: accounts, chosen by a hash of their ids among those that were judged clear
--   per_account integer = 25: records of each, chosen by a hash of their ids
-- grain: one row per record
-- reads: subject_accounts, account_scores, records
-- detects: nothing: it is the background that `case_prompts` is shown before
-- does not detect: attackers that no scoring found: some of the background may be theirs
-- false positives: none: nobody is accused by it
-- next step: `case_prompts`
with chosen as (
  select account_id
  from account_scores
  where
    decision = 'clear' and account_scores.records >= 20
    and account_id not in (select members.account_id from subject_accounts($subject) as members)
  order by md5(account_id), account_id
  limit $accounts
)

select account_id, embedding
from records
where account_id in (select chosen.account_id from chosen)
qualify row_number() over (partition by account_id order by md5(request_id), request_id, "offset", "row") <= $per_account
order by account_id, md5(request_id), request_id, "offset", "row";
