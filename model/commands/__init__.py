"""The commands of the model side, one per file. PyTorch takes seconds to import, so a command imports it only when run."""
