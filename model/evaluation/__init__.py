"""How good a network's predictions are, in float and in integers."""
