-- name: alerts
-- question: What was handed to analysts, live or by a scoring, and with what evidence?
-- grain: one row per alert_id. An alert that was raised live and is also in the manifest's table is shown as the
--   table has it. `evidence` and `provenance` are JSON.
-- reads: raw.alerts, raw.live_alerts
create view alerts as
with every_alert as (
  select *, false as is_live from raw.alerts
  union all
  select *, true as is_live from raw.live_alerts
)

select * replace (evidence::json as evidence, provenance::json as provenance)
from every_alert
qualify row_number() over (partition by alert_id order by is_live, as_of desc) = 1;
