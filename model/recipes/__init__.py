"""TOML recipes: what a model is, how it is trained, and on what."""
