-- name: safe_div
-- question: What is a / b where b may be zero or missing?
-- grain: one DOUBLE; null when b is 0 or either is null. DuckDB's own 1 / 0 is infinite.
-- reads:
create macro safe_div(a, b) as
  case when b = 0 then null else a::double / b end;

-- Tests
select case when safe_div(1, 4) = 0.25 then true else error('a quarter') end;
select case when safe_div(1, 0) is null then true else error('by zero') end;
select case when safe_div(null, 2) is null and safe_div(2, null) is null then true else error('nulls') end;
select case when safe_div(9007199254740993::bigint, 1) = 9007199254740992 then true else error('double') end;
