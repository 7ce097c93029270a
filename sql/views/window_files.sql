-- name: window_files
-- question: Which landed files make up `windows`, and which records do they sum up?
-- grain: one row per roll-up, and one per run and date for what was compacted (`run_id` is set).
-- reads: raw.window_files
create view window_files as
select *
from raw.window_files;
