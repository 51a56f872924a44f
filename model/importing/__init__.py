"""Checkpoints of other programs, turned into this one's: vision transformers of timm and DeiT, and upstream M3ViT."""
