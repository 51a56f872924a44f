"""The operations of an ONNX graph as layers that have a name and a shape and nothing to generate.

hls4ml makes a layer of every operation before it asks a backend, and refuses operations that it does not know. The accelerator
takes the network from its bundle, so here a layer only says what the graph has.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from hls4ml.model.layers import Layer
from hls4ml.model.types import UnspecifiedPrecisionType

from moesaic.hls.vendor.hls4ml_backend import NAME

LAYER_CLASS = "MoesaicOperation"


class Operation(Layer):
    """Any operation. Attributes, where hls4ml had no layer for it: "operation", its ONNX name; "refusal", why, if it said so."""

    known_as = ""
    """hls4ml's class of the layer, where it has one."""

    @property
    def class_name(self) -> str:
        """What hls4ml calls the layer."""
        return self.known_as or self.get_attr("operation")

    def initialize(self) -> None:
        """Give every output a variable of its shape in the ONNX graph."""
        backend = self.model.config.backend
        if backend.name != NAME:  # another backend's model: what hls4ml says without this package
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

    At a conversion rather than at the registration of the backend: hls4ml loads its backends before its converters. What hls4ml
    has no handler for gets one. Its own handlers refuse some uses of operations that they know, such as joining the routers of
    three tasks in one Concat, and hls4ml has no means to register another in their place: so this one function puts handlers that
    catch the refusal into its table. Other backends still raise the refusal, see `Operation.initialize`.
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
    """A handler as `register_onnx_layer_handler` takes it. Inputs and outputs that are left out have no name."""
    return {
        "class_name": LAYER_CLASS,
        "name": node.name,
        "operation": node.op_type,
        "inputs": [name for name in input_names if name],
        "outputs": [name for name in node.output if name],
    }


def value_shapes(graph) -> dict[str, list[int]]:
    """Name to shape, without the batch, of every value of an ONNX graph; a scalar has [1], as everywhere in hls4ml."""
    shapes = {}
    for value in (*graph.value_info, *graph.output):
        shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        shapes[value.name] = (shape[1:] if shape[:1] == [1] else shape) or [1]
    return shapes
