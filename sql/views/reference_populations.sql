-- name: reference_populations
-- question: Against which benign accounts is a score read?
-- grain: one row per reference, benign class (null: all classes together) and signal.
-- reads: raw.reference_populations
create view reference_populations as
select *
from raw.reference_populations;
