"""The constants of the cycle model, measured: programs that show one each, run on the simulated RTL and on the model."""
