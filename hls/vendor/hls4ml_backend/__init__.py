"""moesaic as a backend of hls4ml: its ONNX files, converted, predict on the C simulation and build with Vitis HLS."""

NAME = "moesaic"
"""Of the backend, as in `convert_from_onnx_model(..., backend="moesaic")`."""
