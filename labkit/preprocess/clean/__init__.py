"""Step 3: wrong and missing values are found and repaired."""
