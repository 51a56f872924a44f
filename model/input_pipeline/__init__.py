"""What a recipe feeds to its network: batches to train on, images to calibrate with, samples to be measured on."""
