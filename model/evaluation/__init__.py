"""The accuracy of a network's predictions, in float and in integers."""
