"""Post-training quantisation by others, on networks and pictures of ours: one table."""
