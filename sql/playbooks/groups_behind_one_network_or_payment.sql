-- name: groups_behind_one_network_or_payment
-- question: Behind which network or payment do several accounts ask with the same settings?
-- topic: hunt
-- cost: the whole lake: seconds where it is large
-- parameters:
--   min_accounts integer = 3: accounts that must use the settings from there
--   most_accounts integer = 50: leave out networks and payments with more accounts, such as carriers
--   least_together number = 0.5: share of the accounts there that must use the settings
--   limit_rows integer = 50: rows to show
-- grain: one row per network or payment, the least likely coincidence first
-- reads: records, safe_div
-- detects: hydras: one operator's accounts share networks or payment and, as one program asks for all of them, settings.
--   `deviations` says how far beyond chance, given how common the settings are in the lake
-- does not detect: members that keep networks and payment apart or vary their settings
-- false positives: a company's application under several accounts: its prompts repeat themselves across the accounts
--   (`fresh_share` well below 1), a divided list does not
-- next step: `who_uses` for the accounts; `overlap_between_accounts` for two of them; `cluster_graph`
with used_together as (
  -- Millions of records become one row per account and way of asking before anything is taken apart.
  select account_id, temperature, top_p, max_tokens, client_network, payment_id, count(*) as records
  from records
  where client_network is not null or payment_id is not null
  group by all
),

usage as (
  unpivot (
    select
      account_id,
      records,
      concat_ws(
        ' / ', coalesce(temperature::varchar, '-'), coalesce(top_p::varchar, '-'), coalesce(max_tokens::varchar, '-')
      ) as settings,
      client_network,
      payment_id
    from used_together
  )
  on client_network, payment_id
  into name kind value shared_value
),

commonness as (
  select settings, count(distinct account_id) / (select count(distinct account_id) from usage) as share_in_lake
  from usage
  group by settings
),

places as (
  select kind, shared_value, count(distinct account_id) as accounts
  from usage
  group by kind, shared_value
  having accounts between $min_accounts and $most_accounts
),

together as (
  select
    usage.kind,
    usage.shared_value,
    usage.settings,
    places.accounts,
    count(distinct usage.account_id) as accounts_with_settings,
    sum(usage.records)::bigint as records,
    list_slice(list_sort(list(distinct usage.account_id)), 1, 20) as account_ids
  from usage
  join places using (kind, shared_value)
  -- Who sets nothing is like everybody who sets nothing.
  where usage.settings <> '- / - / -'
  group by usage.kind, usage.shared_value, usage.settings, places.accounts
  having accounts_with_settings >= $min_accounts and accounts_with_settings >= $least_together * places.accounts
),

shown as (
  select
    together.*,
    commonness.share_in_lake,
    safe_div(
      together.accounts_with_settings - together.accounts * commonness.share_in_lake,
      sqrt(together.accounts * commonness.share_in_lake * (1 - commonness.share_in_lake))
    ) as deviations
  from together
  join commonness using (settings)
  qualify row_number() over (
    partition by together.kind, together.shared_value order by deviations desc nulls last, together.settings
  ) = 1
  order by deviations desc nulls last, together.kind, together.shared_value
  limit $limit_rows
),

touched as (
  -- Prompts are counted only for what is shown.
  select
    prompt_hash,
    concat_ws(
      ' / ', coalesce(temperature::varchar, '-'), coalesce(top_p::varchar, '-'), coalesce(max_tokens::varchar, '-')
    ) as settings,
    client_network,
    payment_id
  from records
  where
    client_network in (select s.shared_value from shown as s where s.kind = 'client_network')
    or payment_id in (select s.shared_value from shown as s where s.kind = 'payment_id')
),

asked as (
  select facts.kind, facts.shared_value, facts.settings, count(distinct facts.prompt_hash) as prompts
  from (
    unpivot touched on client_network, payment_id into name kind value shared_value
  ) as facts
  join shown
    on shown.kind = facts.kind and shown.shared_value = facts.shared_value and shown.settings = facts.settings
  group by facts.kind, facts.shared_value, facts.settings
)

select
  shown.kind,
  shown.shared_value,
  shown.accounts,
  shown.accounts_with_settings,
  shown.settings,
  shown.share_in_lake,
  shown.deviations,
  shown.records,
  asked.prompts,
  safe_div(asked.prompts, shown.records) as fresh_share,
  shown.account_ids
from shown
join asked using (kind, shared_value, settings)
order by shown.deviations desc nulls last, shown.kind, shown.shared_value;
