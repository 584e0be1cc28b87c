"""Workers and their devices, and the gang of ranks that trains on them."""
