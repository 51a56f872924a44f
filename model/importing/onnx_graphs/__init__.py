"""Vision transformers read from ONNX graphs by their structure: which tensor is computed from which, whatever its name."""
