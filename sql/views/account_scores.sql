-- name: account_scores
-- question: How suspicious is each account by the newest scoring?
-- grain: one row per account of the newest `as_of`. Earlier scorings that the manifest still names are in
--   `raw.account_scores`, same columns.
-- reads: raw.account_scores
create view account_scores as
select *
from raw.account_scores
where as_of = (select max(as_of) from raw.account_scores);
