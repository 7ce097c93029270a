-- name: profiles
-- question: Where are the heavy parts of the profiles: vector sums, moments, kernel means, sketches?
-- grain: one row per account, window and landed file; several deltas of one account and window are common until
--   they are compacted, and must be added (the sketches: united) before anything is read from them. Windows with
--   fewer than 8 records in a file have no row there. `pipeline.lake.read_profiles` merges and fills in both;
--   numbers from a few blobs alone are a look, not evidence.
--   embedding_sum and kernel_mean are little-endian integers of the widths given beside them (4 or 8 bytes);
--   moment is 8-byte integers, a packed lower triangle; *_distinct are ascending 8-byte unsigned hashes.
-- reads: raw.profiles, raw.lake
create view profiles as
select
  account_id,
  window_start,
  records,
  embedding_sum,
  moment,
  kernel_mean,
  prompt_distinct,
  template_distinct,
  client_network_distinct,
  (octet_length(embedding_sum) // (select dimension from raw.lake))::integer as embedding_sum_bytes,
  (octet_length(kernel_mean) // 256)::integer as kernel_mean_bytes
from raw.profiles;
