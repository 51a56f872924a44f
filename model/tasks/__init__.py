"""What each task predicts, its loss and its metric."""
