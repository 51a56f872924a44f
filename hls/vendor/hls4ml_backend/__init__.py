"""moesaic as an hls4ml backend: a converted moesaic ONNX file predicts on the C simulation and builds with Vitis HLS."""

NAME = "moesaic"
"""The name of the backend, as in `convert_from_onnx_model(..., backend="moesaic")`."""
