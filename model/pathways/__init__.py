"""Which experts each task uses, and keeping only some of them."""
