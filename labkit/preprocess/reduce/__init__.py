"""Step 4: what does not help is left out, what is left becomes fewer numbers."""
