-- name: case_records
-- question: Which records should be read first, and where did each come from?
-- topic: case
-- parameters:
--   subject text: an account's id, or a cluster's id or name
-- grain: one row per record of one of the subject's accounts that an alert on it, or on a cluster, names, in order of time
-- reads: subject_accounts, alerts, records, hash_hex
-- detects: the records that look most like lines of a list, from as many topics as there are
-- does not detect: records of accounts without an alert of their own that no cluster's alert names
-- false positives: a batch job's records look like lines of a list too; read the prompts before acting
-- instead: `alert_records` for one alert, in its order of weight and with why each record was named
-- next step: ask the service for the exchanges of these request ids
with named as (
  select
    subject_kind,
    subject_id,
    unnest(evidence -> '$.look_at.records[*]') as entry
  from alerts
),

placed as (
  -- A cluster's alert says of each record whose it is.
  select
    case when subject_kind = 'account' then subject_id else entry ->> 'account_id' end as account_id,
    entry ->> 'request_id' as request_id
  from named
),

wanted as (
  select distinct
    account_id,
    request_id
  from placed
  where account_id in (select members.account_id from subject_accounts($subject) as members)
)

select
  records.event_time,
  records.account_id,
  records.request_id,
  records.model,
  records.input_tokens,
  records.output_tokens,
  records.reasoning_requested,
  hash_hex(records.prompt_hash) as prompt,
  hash_hex(records.template_hash) as template,
  records.client_network,
  records.topic,
  records."partition",
  records."offset",
  records."row"
from records
join wanted using (account_id, request_id)
order by records.event_time, records.account_id, records.request_id, records."offset", records."row";
