"""Records at the edge: schema, decoding, validation, the grid, adapters for other log formats."""
