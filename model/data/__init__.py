"""Images and their ground truth."""
