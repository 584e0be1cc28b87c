"""Step 1: exact statistics of data that lie in parts."""
