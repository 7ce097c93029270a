-- name: identifiers_in_use
-- question: Which identifiers did each account use?
-- topic: indicators
-- parameters: none
-- grain: one row per account and identifier (`account`, `network`, `payment`, `user agent`)
-- reads: records
-- detects: nothing by itself: `distillwatch indicators import` holds these against what others found
-- does not detect: identifiers that are not landed
-- false positives: none
-- next step: `accounts_named_by_others`
with facts as (
  select account_id, 'account' as kind, account_id as value from records
  union all
  select account_id, 'network' as kind, client_network as value from records
  union all
  select account_id, 'payment' as kind, payment_id as value from records
  union all
  select account_id, 'user agent' as kind, user_agent as value from records
)

select account_id, kind, value, count(*) as records
from facts
where value is not null
group by account_id, kind, value
order by account_id, kind, value;
