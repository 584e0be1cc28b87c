"""Records of runs: what happened, where the time went, and curves over device counts."""
