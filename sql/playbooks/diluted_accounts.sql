-- name: diluted_accounts
-- question: In which accounts does what is asked hang together with how it is asked, as if several worked through one?
-- topic: hunt
-- cost: every account's scores
-- parameters:
--   min_records integer = 50: records that an account must have
--   least_dependence number = 10: standard deviations of `behaviour_dependence` beyond chance; 0 shows every account, as a ranking
--   limit_rows integer = 50: rows to show
-- grain: one row per account, the strongest dependence first
-- reads: account_scores
-- detects: harvests diluted with other traffic: the list has settings, clients and lengths of its own, so that content
--   depends on them (on 11 diluted accounts of a simulated lake with 950 scored ones, 7 were among the first 25)
-- does not detect: dilution with the same settings; accounts with too few records
-- false positives: resellers and companies: many users behind one account are the same thing, honestly. In simulated
--   lakes most of the first rows are those: by default 15 of 360 accounts are shown of one with four diluted accounts
--   (`simulate --attack-share 0.1 --accounts 360 --records 26000 --seed 7`; three of these and 10 resellers) and 11 of 360 of
--   one without any attacker (`--attack-share 0 --seed 991`; 10 of them resellers)
-- next step: `dilution_inside_an_account`
select
  account_id,
  behaviour_dependence,
  sampling_dependence,
  model_dependence,
  output_length_dependence,
  part_evidence,
  part_apart,
  part_size,
  records,
  score,
  p_value,
  decision,
  benign_class
from account_scores
where records >= $min_records and behaviour_dependence >= $least_dependence
order by behaviour_dependence desc, account_id
limit $limit_rows;
