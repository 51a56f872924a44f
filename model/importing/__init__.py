"""Conversion of other programs' checkpoints to ours: plain vision transformers such as timm's or DeiT, and upstream M3ViT."""
