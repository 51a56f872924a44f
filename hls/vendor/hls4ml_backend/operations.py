"""The operations of an ONNX graph as hls4ml layers that have a name and a shape but generate nothing.

hls4ml makes a layer of every operation before it asks a backend, and refuses operations that it does not know. The accelerator
takes the network from its bundle, so a layer here only records what the graph contains.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from hls4ml.model.layers import Layer
from hls4ml.model.types import UnspecifiedPrecisionType

from moesaic.hls.vendor.hls4ml_backend import NAME

LAYER_CLASS = "MoesaicOperation"


class Operation(Layer):
    """Any operation.

    Attributes, if hls4ml has no layer for it: "operation", its ONNX name; "refusal", the exception of hls4ml's handler, if that
    raised one.
    """

    known_as = ""
    """Name of hls4ml's class for the layer, empty if it has none."""

    @property
    def class_name(self) -> str:
        """hls4ml's name for the layer."""
        return self.known_as or self.get_attr("operation")

    def initialize(self) -> None:
        """Give every output a variable with its shape in the ONNX graph.

        For the model of another backend, raises the refusal of hls4ml's handler, or RuntimeError if there was none.
        """
        backend = self.model.config.backend
        if backend.name != NAME:  # another backend's model: raise what hls4ml raises without this package
            raise self.get_attr("refusal") or RuntimeError(f"ERROR: Unsupported operation type: {self.class_name}")
        shapes = backend.session(self.model).shapes
        outputs = self.outputs or []
        for place, output in enumerate(outputs):
            suffix = "" if len(outputs) == 1 else str(place)
            self.add_output_variable(
                shapes.get(output, [1]),
                out_name=output,
                var_name=f"layer{{index}}_out{suffix}",
                type_name=f"layer{{index}}_t{suffix}",
                precision=UnspecifiedPrecisionType(),
            )


def register_operations() -> None:
    """Let hls4ml read every standard ONNX operation.

    This is done at a conversion rather than when the backend is registered, because hls4ml loads its backends before its
    converters. An operation for which hls4ml has no handler gets one. hls4ml's own handlers refuse some uses of operations that
    they know, such as joining the routers of three tasks in one Concat, and hls4ml has no means of replacing a registered handler;
    so this function, and no other, puts handlers that catch the refusal into hls4ml's table. Other backends still raise the
    refusal; see `Operation.initialize`.
    """
    from hls4ml.converters.onnx_to_hls import layer_handlers, register_onnx_layer_handler
    from hls4ml.model.layers import layer_map, register_layer
    from onnx import defs

    if LAYER_CLASS in layer_map:
        return
    register_layer(LAYER_CLASS, Operation)
    for name, handler in list(layer_handlers.items()):
        layer_handlers[name] = _catching_refusals(handler)
    for name in sorted({schema.name for schema in defs.get_all_schemas() if not schema.domain} - set(layer_handlers)):
        register_onnx_layer_handler(name, _layer)


def _catching_refusals(handler: Callable[..., dict]) -> Callable[..., dict]:
    @wraps(handler)
    def handle(node, input_names, input_shapes, graph) -> dict:
        try:
            return handler(node, input_names, input_shapes, graph)
        except Exception as refusal:
            return {**_layer(node, input_names, input_shapes, graph), "refusal": refusal.with_traceback(None)}

    return handle


def _layer(node, input_names, input_shapes, graph) -> dict:
    """A handler for `register_onnx_layer_handler`. Optional inputs and outputs that are left out have an empty name."""
    return {
        "class_name": LAYER_CLASS,
        "name": node.name,
        "operation": node.op_type,
        "inputs": [name for name in input_names if name],
        "outputs": [name for name in node.output if name],
    }


def value_shapes(graph) -> dict[str, list[int]]:
    """Name to shape, without the batch, of every value of an ONNX graph; a scalar has shape [1], as everywhere in hls4ml."""
    shapes = {}
    for value in (*graph.value_info, *graph.output):
        shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        shapes[value.name] = (shape[1:] if shape[:1] == [1] else shape) or [1]
    return shapes
