-- name: account_records
-- question: Which records does this account have in a stretch of time?
-- topic: account
-- parameters:
--   account_id text: the account
--   since timestamp = 1970-01-01: first moment to show; for a window, its window_start
--   until timestamp = 9999-01-01: show records before this
--   model text = null: only this model
--   client_network text = null: only from this network
--   template text = null: only this template, as 16 hexadecimal digits
--   prompt text = null: only this prompt, as 16 hexadecimal digits
--   limit_rows integer = 100: rows to show
--   skip_rows integer = 0: rows to leave out before them
-- grain: one row per record, oldest first; `matching` is how many there are in all
-- reads: records, hash_hex
-- detects: what a window, a template or a network is made of, down to the position in the log
-- does not detect: what was asked: texts are never landed, only their embeddings
-- false positives: none: these are the records
-- next step: `provenance_of_an_account` for the files they lie in and their digests
select
  event_time,
  request_id,
  model,
  operation,
  input_tokens,
  output_tokens,
  temperature,
  top_p,
  max_tokens,
  choice_count,
  logprobs,
  stream,
  reasoning_requested,
  hash_hex(prompt_hash) as prompt,
  hash_hex(template_hash) as template,
  hash_hex(system_prompt_hash) as system_prompt,
  "language",
  client_network,
  asn,
  country,
  user_agent,
  organization_id,
  payment_id,
  status,
  latency_ms,
  topic,
  topic_id,
  "partition",
  "offset",
  "row",
  count(*) over () as matching
from records
where
  account_id = $account_id
  and event_time >= $since
  and event_time < $until
  and ($model::varchar is null or model = $model)
  and ($client_network::varchar is null or client_network = $client_network)
  and ($template::varchar is null or hash_hex(template_hash) = lower($template))
  and ($prompt::varchar is null or hash_hex(prompt_hash) = lower($prompt))
order by event_time, request_id, topic_id, "partition", "offset", "row"
limit $limit_rows offset $skip_rows;
