"""The commands of the model side, one a file. PyTorch takes seconds to import, so only a command that runs does it."""
