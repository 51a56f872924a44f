"""M3ViT in PyTorch: define, train, evaluate, quantise, export."""
