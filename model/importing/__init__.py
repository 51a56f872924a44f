"""Checkpoints of other programs, converted to ours: vision transformers of timm and DeiT, and upstream M3ViT."""
