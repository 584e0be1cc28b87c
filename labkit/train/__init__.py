"""Training: one loop, one file per strategy, the rank program that joins them."""
