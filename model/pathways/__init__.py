"""Which experts each task uses, keeping only some of them, and what that costs and saves."""
