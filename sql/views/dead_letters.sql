-- name: dead_letters
-- question: What was not accepted, why, and what did it look like?
-- grain: one row per rejected record, with its position. `raw` is what arrived, cut at a bound; `raw_bytes` is how long it was.
-- reads: raw.dead_letter_rows
create view dead_letters as
select topic_id, topic, "partition", "offset", "row", reason, detail, raw, raw_bytes
from raw.dead_letter_rows
where kind = 'rejected';
