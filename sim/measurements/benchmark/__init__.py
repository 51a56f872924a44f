"""Whole frames of the real models on the simulated RTL: cycles compared with the limit, where they go, what each technique saves."""
