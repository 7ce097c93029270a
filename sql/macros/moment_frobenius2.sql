-- name: moment_frobenius2
-- question: What is the squared Frobenius norm of a packed second moment?
-- grain: one DOUBLE: the sum of the squares of all entries of the symmetric matrix whose lower triangle is packed row by
--   row in a list (`decode_integers(moment, 8)`). null for null.
-- reads:
create macro moment_frobenius2(packed) as
  -- What is off the diagonal occurs twice.
  2 * list_dot_product(packed::double[], packed::double[])
  - list_sum(
    list_transform(
      range(1, ((sqrt(8 * len(packed) + 1) - 1) / 2)::bigint + 1),
      lambda side: packed[side * (side + 1) // 2]::double * packed[side * (side + 1) // 2]::double
    )
  );

-- Tests
-- [[2, 5], [5, 3]]: 4 + 25 + 25 + 9
select case when moment_frobenius2([2, 5, 3]) = 63 then true else error('two by two') end;
select case when moment_frobenius2([7]) = 49 then true else error('one by one') end;
select case when moment_frobenius2(null::bigint[]) is null then true else error('null') end;
