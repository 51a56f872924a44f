"""Studies of the model that the documentation shows: each measures, keeps its figures, and writes a page."""
