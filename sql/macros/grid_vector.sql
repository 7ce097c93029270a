-- name: grid_vector
-- question: Which numbers does the embedding of a record hold?
-- grain: one INTEGER list, -127 to 127: a grid vector, one signed byte per dimension. null for null.
-- reads:
create macro grid_vector(embedding) as
  list_transform(
    regexp_extract_all(hex(embedding), '..'),
    lambda digits: ('0x' || digits)::integer - case when digits >= '80' then 256 else 0 end
  );

-- Tests
select case when grid_vector('\x00\x01\x7F\x81\xFF'::blob) = [0, 1, 127, -127, -1] then true else error('signs') end;
select case when grid_vector(null::blob) is null then true else error('null') end;
