"""Further training of a trained model, on chosen pathways or in the integers that the machine runs."""
