"""What a plan needs and could reach: formulas, and an event simulation of its schedule."""
