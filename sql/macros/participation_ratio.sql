-- name: participation_ratio
-- question: Over how many directions do an account's prompts spread?
-- grain: one DOUBLE from 1 to 32: trace squared over the squared Frobenius norm of a packed second moment
--   (`decode_integers(moment, 8)`, summed over windows with `sum_vectors`). Dividing by the records changes nothing. It
--   is what SQL can say in place of the effective rank, which needs eigenvalues. null when all is zero.
-- reads: moment_trace, moment_frobenius2, safe_div
create macro participation_ratio(packed) as
  safe_div(moment_trace(packed) * moment_trace(packed), moment_frobenius2(packed));

-- Tests
select case when participation_ratio([4, 0, 4]) = 2 then true else error('two equal directions') end;
select case when participation_ratio([4, 4, 4]) = 1 then true else error('one direction') end;
select case when participation_ratio([0, 0, 0]) is null then true else error('zeros') end;
