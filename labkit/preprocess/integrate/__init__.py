"""Step 2: sources that describe the same things become one table."""
