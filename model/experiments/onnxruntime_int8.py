"""onnxruntime's static quantisation of an ONNX network, to compare with: int8 in QDQ form, weights per channel."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

METHODS = ("MinMax", "Entropy", "Percentile")
"""How onnxruntime chooses the ranges of activations."""
OPERATORS = ("MatMul", "Gemm", "Conv")
"""What is quantised; with all operators in int8 a vision transformer loses much more."""


class _Reader(CalibrationDataReader):
    """Gives calibration inputs, float32 [N, 3, h, w], one by one."""

    def __init__(self, name: str, inputs: np.ndarray) -> None:
        self._feeds: Iterator[dict[str, np.ndarray]] = ({name: one[None]} for one in inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def quantised(model: onnx.ModelProto, inputs: np.ndarray, method: str) -> onnx.ModelProto:
    """The network quantised with ranges from calibration inputs, float32 [N, 3, h, w]; method: one of METHODS."""
    with tempfile.TemporaryDirectory(prefix="moesaic-onnx-") as scratch:
        source, prepared, target = (Path(scratch) / name for name in ("float.onnx", "prepared.onnx", "int8.onnx"))
        onnx.save(model, source)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            _Reader(model.graph.input[0].name, inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod[method],
        )
        return onnx.load(target)
