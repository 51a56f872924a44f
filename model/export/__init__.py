"""From a model to files: the bundle that everything after PyTorch starts from, and ONNX."""
