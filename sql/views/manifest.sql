-- name: manifest
-- question: Which files does the current manifest name?
-- grain: one row per file; none while nothing has been published (number 0). The reachable tail of segments and
--   roll-ups behind it is in `segments` and `window_files`.
-- reads: raw.manifest
create view manifest as
select *
from raw.manifest;
