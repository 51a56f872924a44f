"""What a recipe feeds to its network: training batches, calibration images, and held-out samples."""
