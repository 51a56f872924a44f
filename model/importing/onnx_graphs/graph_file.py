"""An ONNX file as a list of operations on static shapes: everything that does not depend on the image is a constant."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from moesaic.errors import UserError
from moesaic.files import refuse_lfs_pointer

_PROTOBUF_LIMIT = 2**31 - 1
_OLDEST_OPSET = 11
_HALVES = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
_KEPT = (
    # onnxruntime's basic optimisations that would merge operations, or move them away from what a quantiser measured
    *("MatMulAddFusion", "TransposeOptimizer", "ConvAddFusion", "ConvMulFusion", "ConvBNFusion", "GemmTransposeFusion"),
    *("MatmulTransposeFusion", "MatMulScaleFusion", "LayerNormFusion", "GeluFusionL1", "LayerNormFusionL1"),
    *("QDQPropagationTransformer", "DoubleQDQPairsRemover", "QDQFinalCleanupTransformer", "ConstantFoldingDQ"),
    *("WeightBiasQuantization", "EnsureUniqueDQForNodeUnit", "GemmActivationFusion", "ReshapeFusion"),
    *("DivMulFusion", "PadFusion", "MatMulBNFusion", "GemmSumFusion", "ClipQuantFusion", "ReluQuantFusion"),
)


@dataclass(frozen=True, eq=False)
class Node:
    """One operation: its name or, without one, its first result's. Inputs left out and results never read have the name ""."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def __str__(self) -> str:
        return f"node {self.name} ({self.operator})"


@dataclass(frozen=True)
class Graph:
    """The operations that depend on the image, in an order in which each comes after those that it reads.

    opset: version of the standard operators. image: name of the input, a tensor of image_shape. constants: every other tensor that
    an operation reads. outputs: names of the results.
    """

    path: Path
    opset: int
    image: str
    image_shape: tuple[int, ...]
    image_type: np.dtype
    nodes: tuple[Node, ...]
    constants: dict[str, np.ndarray]
    outputs: tuple[str, ...]


def read_graph(path: Path, image_size: tuple[int, int] | None) -> Graph:
    """The graph in an ONNX file, for a batch of one image; height and width are image_size where the file leaves them open.

    onnxruntime's basic optimisation folds what is constant, such as shapes and interpolated positions. UserError if the file is
    missing, empty, damaged, of an unknown opset or larger than 2 GB, has external data that are missing, does not take one image, or
    leaves sizes open though there is no image_size.
    """
    model = _load(path)
    _widen(path, model)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    newest = onnx.defs.onnx_opset_version()
    if not _OLDEST_OPSET <= opset <= newest:
        raise UserError(f"{path}: opset {opset} is none of {_OLDEST_OPSET} to {newest}: export it with another opset")
    image = _image_input(path, model)
    shape = _set_shape(path, image, image_size)
    model = _folded(path, model)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    read = {name for node in model.graph.node for name in node.input} | {output.name for output in model.graph.output}
    nodes = []
    for node in model.graph.node:
        attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
            continue
        name = node.name or node.output[0]
        results = tuple(output if output in read else "" for output in node.output)
        nodes.append(Node(name, node.op_type, tuple(node.input), results, attributes))
    kind = onnx.helper.tensor_dtype_to_np_dtype(image.type.tensor_type.elem_type)
    outputs = tuple(output.name for output in model.graph.output)
    return Graph(path, opset, image.name, shape, kind, tuple(nodes), constants, outputs)


def _load(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise UserError(f"{path} does not exist: name an .onnx file")
    if path.stat().st_size == 0:
        raise UserError(f"{path} has 0 bytes: export or copy it again")
    try:
        refuse_lfs_pointer(path)
        model = onnx.load(path)
    except DecodeError:
        raise UserError(f"{path} is no ONNX file, or damaged: export or copy it again") from None
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        reason = _first_line(error)
        raise UserError(f"{path}: its external data cannot be read ({reason}): keep them beside the file") from None
    if not model.graph.node:
        raise UserError(f"{path} is no ONNX file, or has no nodes: export or copy it again")
    return model


def _widen(path: Path, model: onnx.ModelProto) -> None:
    """Turn 16-bit floating point into float32, in place: its values stay, and onnxruntime need not take operations apart for it."""
    graph = model.graph
    tensors = list(graph.initializer)
    for node in (*graph.node, *(node for function in model.functions for node in function.node)):
        for entry in node.attribute:
            if entry.type == onnx.AttributeProto.TENSOR:
                tensors.append(entry.t)
            elif node.op_type == "Cast" and entry.name == "to" and entry.i in _HALVES:
                entry.i = onnx.TensorProto.FLOAT
    for tensor in tensors:
        if tensor.data_type in _HALVES:
            try:
                wide = numpy_helper.to_array(tensor).astype(np.float32)
            except (ValueError, TypeError) as error:
                raise UserError(
                    f"{path}: tensor {tensor.name} is damaged ({_first_line(error)}): export or copy the file again"
                ) from None
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    described = (value for part in (graph, *model.functions) for value in part.value_info)
    for value in (*graph.input, *graph.output, *described):
        if value.type.tensor_type.elem_type in _HALVES:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def _image_input(path: Path, model: onnx.ModelProto) -> onnx.ValueInfoProto:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    images = [value for value in inputs if len(value.type.tensor_type.shape.dim) == 4]
    if len(inputs) != 1 or len(images) != 1:
        found = ", ".join(f"{value.name} {_sizes(value)}" for value in inputs) or "none"
        raise UserError(f"{path}: its inputs are {found}; expected one image [1, 3, height, width]")
    return images[0]


def _sizes(value: onnx.ValueInfoProto) -> list[int | str]:
    return [dim.dim_value or dim.dim_param or "?" for dim in value.type.tensor_type.shape.dim]


def _set_shape(path: Path, image: onnx.ValueInfoProto, image_size: tuple[int, int] | None) -> tuple[int, ...]:
    """Fix the input's open sizes in place, and return its shape."""
    sizes = image.type.tensor_type.shape.dim
    channels_last = sizes[3].dim_value == 3 and sizes[1].dim_value != 3
    sides = sizes[1:3] if channels_last else sizes[2:]
    if image_size is None and not all(side.dim_value for side in sides):
        raise UserError(f"{path}: input {image.name} leaves the image's size open: state --size or a --recipe")
    height, width = image_size or (side.dim_value for side in sides)
    wanted = (1, height, width, 3) if channels_last else (1, 3, height, width)
    if sizes[0].dim_value > 1:
        raise UserError(
            f"{path}: input {image.name} takes {sizes[0].dim_value} images at once, expected 1: export it with a batch of 1"
        )
    for size, value in zip(sizes, wanted):
        if not size.dim_value:
            size.dim_value = value
    shape = tuple(size.dim_value for size in sizes)
    if shape[3 if channels_last else 1] != 3:
        raise UserError(f"{path}: input {image.name} is {list(shape)}, expected one image [1, 3, height, width]")
    return shape


def _folded(path: Path, model: onnx.ModelProto) -> onnx.ModelProto:
    """The model as onnxruntime leaves it after its basic optimisation, without the fusions in _KEPT."""
    del model.graph.value_info[:]  # made for open sizes
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    if model.ByteSize() > _PROTOBUF_LIMIT:
        raise UserError(
            f"{path} has {model.ByteSize() / 2**30:.1f} GB of weights, more than 2: choose a smaller network"
        )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as directory:
        folded = Path(directory) / "folded.onnx"
        options.optimized_model_filepath = str(folded)
        try:
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"], disabled_optimizers=_KEPT
            )
        except Exception as error:  # onnxruntime's errors have no other common class
            raise UserError(f"{path}: onnxruntime refuses the graph ({_first_line(error)})") from None
        return onnx.load(folded)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
