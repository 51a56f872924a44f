"""From the float network to the integer network of a bundle."""
