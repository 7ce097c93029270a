-- name: groups_behind_one_network_or_payment
-- question: Behind which network or payment do several accounts ask with the same settings?
-- topic: hunt
-- cost: the whole lake: seconds to minutes where it is large
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
with usage as (
  unpivot (
    select
      account_id,
      prompt_hash,
      concat_ws(
        ' / ', coalesce(temperature::varchar, '-'), coalesce(top_p::varchar, '-'), coalesce(max_tokens::varchar, '-')
      ) as settings,
      client_network,
      payment_id
    from records
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
    count(*) as records,
    count(distinct usage.prompt_hash) as prompts,
    list_slice(list_sort(list(distinct usage.account_id)), 1, 20) as account_ids
  from usage
  join places using (kind, shared_value)
  -- Who sets nothing is like everybody who sets nothing.
  where usage.settings <> '- / - / -'
  group by usage.kind, usage.shared_value, usage.settings, places.accounts
  having accounts_with_settings >= $min_accounts and accounts_with_settings >= $least_together * places.accounts
)

select
  together.kind,
  together.shared_value,
  together.accounts,
  together.accounts_with_settings,
  together.settings,
  commonness.share_in_lake,
  safe_div(
    together.accounts_with_settings - together.accounts * commonness.share_in_lake,
    sqrt(together.accounts * commonness.share_in_lake * (1 - commonness.share_in_lake))
  ) as deviations,
  together.records,
  together.prompts,
  safe_div(together.prompts, together.records) as fresh_share,
  together.account_ids
from together
join commonness using (settings)
qualify row_number() over (
  partition by together.kind, together.shared_value order by deviations desc nulls last, together.settings
) = 1
order by deviations desc nulls last, together.kind, together.shared_value
limit $limit_rows;
