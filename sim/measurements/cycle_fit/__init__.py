"""Measure the constants of the cycle model with programs that each isolate one, run on the simulated RTL and on the model."""
