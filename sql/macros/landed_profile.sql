-- name: landed_profile
-- question: What do the heavy parts of one account's profiles add up to?
-- grain: one row: sums over what landed in `profiles`, ready for `mean_cosine`, `participation_ratio` and
--   `distinct_estimate`. Windows with fewer than 8 records in a file have no heavy row, so `records` may be fewer than
--   the account has; nothing is missing when it equals those of `windows`. No row for an account without any.
-- reads: profiles, decode_integers, decode_hashes, sum_vectors
create macro landed_profile(account) as table
  -- Decoded first, summed outside: see sum_vectors.
  with decoded as (
    select
      account_id,
      records,
      decode_integers(embedding_sum, embedding_sum_bytes) as embedding_sum,
      decode_integers(moment, 8) as moment,
      decode_integers(kernel_mean, kernel_mean_bytes) as kernel_mean,
      decode_hashes(prompt_distinct) as prompt_hashes,
      decode_hashes(template_distinct) as template_hashes,
      decode_hashes(client_network_distinct) as client_network_hashes
    from profiles
    where account_id = account
  )

  select
    account_id,
    sum(records)::bigint as records,
    sum_vectors(list(embedding_sum)) as embedding_sum,
    sum_vectors(list(moment)) as moment,
    sum_vectors(list(kernel_mean)) as kernel_mean,
    list_sort(list_distinct(flatten(list(prompt_hashes)))) as prompt_hashes,
    list_sort(list_distinct(flatten(list(template_hashes)))) as template_hashes,
    list_sort(list_distinct(flatten(list(client_network_hashes)))) as client_network_hashes
  from decoded
  group by account_id;

-- Tests
select case when count(*) = 0 then true else error('unknown account') end from landed_profile('nobody');
select case when count(*) = 0 then true else error('sums of nobody') end
from (select sum(participation_ratio(moment)), any_value(embedding_sum[1]) from landed_profile('nobody') having count(*) > 0);
