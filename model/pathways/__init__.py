"""Which experts each task uses and keeps."""
