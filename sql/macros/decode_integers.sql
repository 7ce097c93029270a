-- name: decode_integers
-- question: Which integers does a blob of a profile hold?
-- grain: one BIGINT list. `bytes_each` is 4 or 8; the blob holds little-endian signed integers, as `profiles` describes.
--   null for null.
-- reads:
create macro decode_integers(packed, bytes_each) as
  list_transform(
    regexp_extract_all(hex(packed), case when bytes_each = 8 then '.{16}' else '.{8}' end),
    lambda digits: case
      -- Two digits are a byte, the lowest first; the highest one carries the sign.
      when bytes_each = 8 then (
        (('0x' || digits[15:16])::integer - case when digits[15:15] >= '8' then 256 else 0 end)::hugeint * 72057594037927936
        + ('0x' || digits[13:14] || digits[11:12] || digits[9:10] || digits[7:8] || digits[5:6] || digits[3:4] || digits[1:2])::bigint
      )::bigint
      else ('0x' || digits[7:8] || digits[5:6] || digits[3:4] || digits[1:2])::bigint
        - case when digits[7:7] >= '8' then 4294967296 else 0 end
    end
  );

-- Tests
select case when decode_integers('\x01\x00\x00\x00\xFF\xFF\xFF\xFF\x00\x01\x00\x00'::blob, 4) = [1, -1, 256] then true else error('4 bytes') end;
select case
  when decode_integers('\x00\x00\x00\x80\xFF\xFF\xFF\x7F'::blob, 4) = [-2147483648, 2147483647] then true else error('ends of 4') end;
select case
  when decode_integers('\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x00\x00\x00\x00\x01\x00\x00\x00'::blob, 8) = [-2, 4294967296]
  then true else error('8 bytes') end;
select case
  when decode_integers('\x00\x00\x00\x00\x00\x00\x00\x80\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F'::blob, 8)
    = [-9223372036854775808, 9223372036854775807]
  then true else error('ends of 8') end;
select case when decode_integers(''::blob, 4) = [] then true else error('nothing in it') end;
select case when decode_integers(null::blob, 4) is null then true else error('null') end;
