"""Step 5: numbers and names become what a model can be trained on."""
