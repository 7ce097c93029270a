-- name: template_slots
-- question: How does this account fill the slots of its templates?
-- topic: account
-- parameters:
--   account_id text: the account
--   min_records integer = 2: records that a template must have
--   limit_rows integer = 100: rows to show
-- grain: one row per template, the most used first; records without a template are one row (template null)
-- reads: records, hash_hex, safe_div
-- detects: templates whose slot is filled anew in every record (`fresh_share` 1): a data set poured through a template
-- does not detect: templates that the edge did not recognise
-- false positives: batch jobs and document jobs pour documents through a template just so: they stay on one subject
--   (`topic_coverage_against_class`) and their answers are short or alike
-- next step: `account_records` with the template; `who_uses` for others with it
with by_template as (
  select
    template_hash,
    count(*) as records,
    count(distinct prompt_hash) as prompts,
    count(distinct system_prompt_hash) as system_prompts,
    count(distinct model) as models,
    avg(input_tokens) as mean_input_tokens,
    avg(output_tokens) as mean_output_tokens,
    count(*) filter (where reasoning_requested) / count(*) as reasoning_share,
    min(event_time) as first_seen,
    max(event_time) as last_seen
  from records
  where account_id = $account_id
  group by template_hash
)

select
  hash_hex(template_hash) as template,
  records,
  safe_div(records, sum(records) over ()) as share,
  prompts,
  safe_div(prompts, records) as fresh_share,
  system_prompts,
  models,
  mean_input_tokens,
  mean_output_tokens,
  reasoning_share,
  first_seen,
  last_seen,
  count(*) over () as templates
from by_template
qualify records >= $min_records
order by records desc, first_seen, template
limit $limit_rows;
