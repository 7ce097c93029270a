-- name: moment_trace
-- question: What is the trace of a packed second moment?
-- grain: one DOUBLE: the sum of the diagonal of the matrix whose lower triangle is packed row by row in a list, as
--   `moment` of `profiles` is (`decode_integers(moment, 8)`). With the Frobenius norm it tells how many directions an
--   account uses: `participation_ratio`. null for null.
-- reads:
create macro moment_trace(packed) as
  list_sum(
    list_transform(
      -- Row r ends with its diagonal, at place r (r + 1) / 2.
      range(1, ((sqrt(8 * len(packed) + 1) - 1) / 2)::bigint + 1),
      lambda side: packed[side * (side + 1) // 2]::double
    )
  );

-- Tests
-- [[2, 5], [5, 3]]
select case when moment_trace([2, 5, 3]) = 5 then true else error('two by two') end;
select case when moment_trace(range(1, 529)) = list_sum(list_transform(range(1, 33), lambda r: r * (r + 1) // 2)) then true else error('32 by 32') end;
select case when moment_trace(null::bigint[]) is null then true else error('null') end;
