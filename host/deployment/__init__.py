"""A copy of the runtime and its builds on a board: what belongs to it, what the board has, and how the two are brought together."""
