"""From a model to files: ONNX, and the bundle from which everything after PyTorch starts."""
