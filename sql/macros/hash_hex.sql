-- name: hash_hex
-- question: How is a 64-bit hash written so that it can be searched for and quoted?
-- grain: one VARCHAR of 16 hexadecimal digits; null for null.
-- reads:
create macro hash_hex(h) as
  lower(printf('%016x', h::ubigint));

-- Tests
select case when hash_hex(255) = '00000000000000ff' then true else error('padding') end;
select case when hash_hex(18446744073709551614::ubigint) = 'fffffffffffffffe' then true else error('largest') end;
select case when hash_hex(null) is null then true else error('null') end;
