-- name: alert_records
-- question: Which records carry this alert?
-- topic: queue
-- parameters:
--   alert_id text: the alert
-- grain: one row per record that the alert asks to be looked at, in its order of weight
-- reads: alerts, records, hash_hex
-- detects: the part of an account that looks most like a list worked off, record by record;
--   of a cluster that of its most tied members, a few records of each
-- does not detect: records outside that part; of a cluster the other members (`members_of_a_cluster`)
-- false positives: a part is always found; whether it is a harvest is what looking at it is for
-- instead: `case_records` for all alerts on an account or a cluster's members, in order of time
-- next step: `account_records` around them
with named as (
  select
    subject_kind,
    subject_id,
    unnest(evidence -> '$.look_at.records[*]') as entry,
    generate_subscripts(evidence -> '$.look_at.records[*]', 1) as place
  from alerts
  where alert_id = $alert_id
),

looked_at as (
  select
    case when subject_kind = 'account' then subject_id else entry ->> 'account_id' end as account_id,
    place,
    entry ->> 'request_id' as request_id,
    (entry ->> 'again')::double as again,
    (entry ->> 'crowded')::double as crowded,
    (entry ->> 'fresh')::double as fresh,
    (entry ->> 'near_in_time')::double as near_in_time
  from named
)

select
  looked_at.place,
  looked_at.account_id,
  looked_at.request_id,
  records.event_time,
  records.model,
  records.input_tokens,
  records.output_tokens,
  hash_hex(records.prompt_hash) as prompt,
  hash_hex(records.template_hash) as template,
  records.client_network,
  looked_at.again,
  looked_at.crowded,
  looked_at.fresh,
  looked_at.near_in_time,
  records.topic,
  records."partition",
  records."offset",
  records."row"
from looked_at
join records on records.account_id = looked_at.account_id and records.request_id = looked_at.request_id
order by looked_at.place;
