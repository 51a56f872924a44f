"""Whole frames of the real models on the simulated RTL: cycles against the limit, where they go, and what each technique is worth."""
