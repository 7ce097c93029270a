-- name: window_deltas
-- question: What does each landed file say of each account and window?
-- grain: one row per account, window and landed file, as it landed. Its sums are those of `windows`, which adds deltas up
--   and so gathers everything before a join can narrow it: for questions about many accounts at once, sum these.
-- reads: raw.windows
create view window_deltas as
select *
from raw.windows;
