"""Training a trained model on: on the pathways that were chosen for it, or in the integers that the machine runs."""
