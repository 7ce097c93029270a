-- name: sum_vectors
-- question: What is the sum of several vectors, place by place?
-- grain: one list as long as the first vector; null when there is none. Takes `list(vector)`. Sums and record counts add
--   up to the profile of an account, means do not: add sums, divide once. Never unnest vectors: that is 20 times slower.
--   Decode vectors in an inner select: `sum_vectors(list(grid_vector(embedding)))` in one stops DuckDB 2.0.0 with an
--   internal error, `select sum_vectors(list(v)) from (select grid_vector(embedding) as v from ...)` works.
-- reads:
create macro sum_vectors(vectors) as
  list_transform(
    range(1, len(vectors[1]) + 1),
    lambda place: list_sum(list_transform(vectors, lambda vector: vector[place]))
  );

-- Tests
select case when sum_vectors([[1, 2, 3], [10, 20, 30], [-1, 0, 1]]) = [10, 22, 34] then true else error('three') end;
select case when sum_vectors([[5, 6]]) = [5, 6] then true else error('one') end;
select case
  when sum_vectors([[9007199254740993::bigint], [2::bigint]])[1] = 9007199254740995 then true else error('beyond the integers of a double') end;
select case when sum_vectors([]::integer[][]) is null then true else error('none') end;
