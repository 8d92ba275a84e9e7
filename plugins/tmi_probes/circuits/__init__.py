"""Which parts of a network matter? The neurons that suffice for an answer, and the weights that may be pruned."""
