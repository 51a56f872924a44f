"""What a model is, how it is trained and on what, as TOML files."""
