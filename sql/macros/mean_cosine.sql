-- name: mean_cosine
-- question: How alike are two different records of a merged profile, on average?
-- grain: one DOUBLE from -1 to 1: (|s|^2 - sum of |q|^2) / ((n - 1) sum of |q|^2) of the sum `s` of `n` grid vectors and
--   the sum `norm2` of their squared lengths (`embedding_norm2`). null below two records.
-- reads: safe_div
create macro mean_cosine(vector_sum, n, norm2) as
  case
    when n >= 2
    then safe_div(list_dot_product(vector_sum::double[], vector_sum::double[]) - norm2, (n - 1)::double * norm2)
  end;

-- Tests
-- Two of (1, 0) and one of (0, 1): one pair of three is alike.
select case when abs(mean_cosine([2, 1], 3, 3) - 1 / 3.0) < 1e-12 then true else error('one pair of three') end;
select case when abs(mean_cosine([20, 0], 4, 100) - 1) < 1e-12 then true else error('all alike') end;
select case when mean_cosine([1, 0], 1, 1) is null then true else error('one record') end;
