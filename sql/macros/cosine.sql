-- name: cosine
-- question: How alike do two vectors point?
-- grain: one DOUBLE from -1 to 1; null for a vector of zeros (it points nowhere) or a missing one. Lists of any numbers:
--   `grid_vector(embedding)`, sums of vectors, dense counts.
-- reads:
create macro cosine(a, b) as
  case
    when list_dot_product(a::double[], a::double[]) > 0 and list_dot_product(b::double[], b::double[]) > 0
    then list_cosine_similarity(a::double[], b::double[])
  end;

-- Tests
select case when abs(cosine([3, 4], [4, 3]) - 0.96) < 1e-12 then true else error('24 of 25') end;
select case when cosine([1, 0], [0, 5]) = 0 then true else error('orthogonal') end;
select case when abs(cosine([1.5, 2.5], [-3.0, -5.0]) + 1) < 1e-12 then true else error('opposite') end;
select case when cosine([0, 0], [1, 2]) is null then true else error('zeros') end;
select case when cosine(null::integer[], [1, 2]) is null then true else error('null') end;
