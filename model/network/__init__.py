"""The network in PyTorch: transformer, experts, heads."""
