-- name: overlap_between_accounts
-- question: What do these two accounts have in common?
-- topic: others
-- parameters:
--   account_a text: the one
--   account_b text: the other
-- grain: one row per kind of thing that both have, the largest overlap first
-- reads: records, safe_div, hash_hex
-- detects: the same prompts, templates, system prompts, networks, payment, clients; a hydra divides a list, so that its
--   members share templates, settings and networks, and fewer prompts than chance would give them
-- does not detect: prompts that differ in a word; ties through a third account
-- false positives: colleagues, classmates and two customers of one application have templates and networks in common
-- next step: `cluster_graph` for what scoring made of the pair; `account_timeline` of both
with of_two as (
  -- Two looks at one account each: DuckDB 1.5 does not skip row groups for one of two bound values.
  select * exclude (embedding) from records where account_id = $account_a
  union all
  select * exclude (embedding) from records where account_id = $account_b and $account_b <> $account_a
),

facts as (
  unpivot (
    select
      account_id,
      request_id,
      'h' || hash_hex(prompt_hash) as prompt,
      'h' || hash_hex(template_hash) as template,
      'h' || hash_hex(system_prompt_hash) as system_prompt,
      client_network,
      user_agent,
      payment_id,
      organization_id,
      model,
      country
    from of_two
  )
  on prompt, template, system_prompt, client_network, user_agent, payment_id, organization_id, model, country
  into name kind value thing
),

used as (
  select
    kind,
    thing,
    count(*) filter (where account_id = $account_a) as records_a,
    count(*) filter (where account_id = $account_b) as records_b
  from facts
  group by kind, thing
)

select
  kind,
  count(*) filter (where records_a > 0) as of_a,
  count(*) filter (where records_b > 0) as of_b,
  count(*) filter (where records_a > 0 and records_b > 0) as of_both,
  safe_div(count(*) filter (where records_a > 0 and records_b > 0), count(*)) as jaccard,
  safe_div(sum(records_a) filter (where records_b > 0), sum(records_a)) as share_of_records_a,
  safe_div(sum(records_b) filter (where records_a > 0), sum(records_b)) as share_of_records_b,
  arg_max(thing, least(records_a, records_b)) filter (where records_a > 0 and records_b > 0) as most_used_by_both
from used
group by kind
having of_a > 0 and of_b > 0
order by jaccard desc, kind;
