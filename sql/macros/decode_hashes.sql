-- name: decode_hashes
-- question: Which hashes does a sketch of distinct values keep?
-- grain: one UBIGINT list, ascending, of at most 64. `sketch` is a *_distinct blob of `profiles`: little-endian unsigned
--   integers of 8 bytes. null for null.
-- reads:
create macro decode_hashes(sketch) as
  list_transform(
    regexp_extract_all(hex(sketch), '.{16}'),
    lambda digits: (
      '0x' || digits[15:16] || digits[13:14] || digits[11:12] || digits[9:10]
      || digits[7:8] || digits[5:6] || digits[3:4] || digits[1:2]
    )::ubigint
  );

-- Tests
select case
  when decode_hashes('\x01\x00\x00\x00\x00\x00\x00\x00\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF'::blob) = [1, 18446744073709551614::ubigint]
  then true else error('two hashes') end;
select case when decode_hashes(''::blob) = [] then true else error('nothing in it') end;
select case when decode_hashes(null::blob) is null then true else error('null') end;
