-- name: case_records
-- question: Which records should be read first, and where did each come from?
-- topic: case
-- parameters:
--   subject text: an account's id, or a cluster's id or name
-- grain: one row per record that an alert on one of the subject's accounts names, in order of time
-- reads: subject_accounts, alerts, records, hash_hex
-- detects: the records that look most like lines of a list, from as many topics as there are
-- does not detect: records of accounts without an alert of their own
-- false positives: a batch job's records look like lines of a list too; read the prompts before acting
-- instead: `alert_records` for one alert, in its order of weight and with why each record was named
-- next step: ask the service for the exchanges of these request ids
with wanted as (
  select distinct
    subject_id as account_id,
    unnest(json_extract_string(evidence, '$.look_at.records[*].request_id')) as request_id
  from alerts
  where
    subject_kind = 'account'
    and subject_id in (select members.account_id from subject_accounts($subject) as members)
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
