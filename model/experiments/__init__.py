"""Studies of the model for the documentation: each one measures, keeps its figures, and writes a page."""
