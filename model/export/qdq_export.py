"""The integer network as quantised ONNX: what the machine stores as integers, QuantizeLinear and DequantizeLinear show.

Input `image`: uint8 [1, height, width, 3]. The output is named after the task: its prediction, float32, [1, channels, h, w] of a
dense one, [1, classes] logits, or [1, tokens, channels] features. Weights are the bundle's int8; the scale of an output channel is
its multiplier / 2**shift, so that results are in units of the next integers, int8 or int16. The scales and offsets of a norm's
channels are in its own weight and bias and in the weights of its readers, as in the bundle. GELU is the bundle's table. Layer norm,
softmax and the sums of products are in floating point, where the machine has its own roundings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.spec.arithmetic import EXP_FRACTION_BITS, NORM_FRACTION_BITS, TABLE_ENTRIES
from moesaic.spec.heads import (
    CLASS_AND_MEAN,
    CLASSIFICATION,
    FEATURES,
    blocks_run,
    final_norm,
    head_layers,
    pool,
    pools_first,
)

OPSET = 21  # the first with 16-bit integers
_OCTAVE = math.log(2) / (1 << EXP_FRACTION_BITS)  # a unit of scores and router logits, in nats
_EPSILON = 1e-12  # of the layer norms, on integers; the machine's have none
_HALF_TABLE = TABLE_ENTRIES // 2


def qdq_files(network: IntegerNetwork) -> dict[str, bytes]:
    """The network's quantised ONNX files by name, model.TASK.qdq.onnx, each on the task's default pathway."""
    return {f"model.{task}.qdq.onnx": qdq_onnx(network, task) for task in network.tasks}


def qdq_decibels(network: IntegerNetwork, files: dict[str, bytes], images: np.ndarray) -> dict[str, float | None]:
    """By task, how near onnxruntime's outputs of `qdq_files` are to the integer network's: 10 log10(signal / noise); None if equal.

    images: uint8 [N, height, width, 3]. Signal and noise are mean squares over all outputs.
    """
    result: dict[str, float | None] = {}
    for name in network.tasks:
        session = onnxruntime.InferenceSession(files[f"model.{name}.qdq.onnx"], providers=["CPUExecutionProvider"])
        found = np.concatenate([np.asarray(session.run(None, {"image": image[None]})[0]) for image in images])
        exact = network.predict(images, name)
        noise = float(np.square(found - exact).mean())
        result[name] = 10 * math.log10(float(np.square(exact).mean()) / noise) if noise else None
    return result


def qdq_onnx(network: IntegerNetwork, task: str) -> bytes:
    """The quantised ONNX file of a task on its default pathway; equal networks give equal bytes."""
    graph = _Graph(network, task)
    output = graph.network_output()
    a = network.architecture
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, a.image_height, a.image_width, 3])
    result = helper.make_tensor_value_info(task, TensorProto.FLOAT, None)
    graph.nodes.append(helper.make_node("Identity", [output], [task], name=task))
    proto = helper.make_graph(graph.nodes, "moesaic", [image], [result], graph.constants)
    model = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="moesaic", ir_version=10
    )
    model = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


class _Graph:
    """Nodes and constants, added one layer after another. Tensors are called after the bundle's layers."""

    def __init__(self, network: IntegerNetwork, task: str) -> None:
        self.a, self.tensors = network.architecture, network.tensors
        self.task, self.of = task, network.tasks[task]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, operator: str, name: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node, and return the name of its result, which is its own."""
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: np.ndarray | float, dtype: type = np.float32) -> str:
        """Add a constant, once, and return its name."""
        if all(constant.name != name for constant in self.constants):
            self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def reshape(self, name: str, x: str, *shape: int) -> str:
        return self.node("Reshape", name, [x, self.constant(f"{name}.shape", np.array(shape), np.int64)])

    def stored(
        self,
        name: str,
        x: str,
        dtype: type,
        unit: float = 1.0,
        arranged: Callable[[str], str] = lambda integers: integers,
    ) -> str:
        """The tensor as the machine stores it, in integers of a type, of which one stands for `unit`.

        arranged: adds nodes that arrange the integers anew, such as by heads; between the two nodes of a pair, no optimisation of
        onnxruntime looks for another pair.
        """
        arguments = [self.constant(f"{name}.unit", unit), self.constant(f"{name}.zero", 0, dtype)]
        integers = self.node("QuantizeLinear", f"{name}.integers", [x, *arguments])
        return self.node("DequantizeLinear", name, [arranged(integers), *arguments])

    def linear(self, name: str, x: str, *, read: float = 1.0, unit: float = 1.0) -> str:
        """A linear layer before its result is stored. read: the unit of what it reads. unit: of its result."""
        weight, bias, multiplier, shift = (
            self.tensors[f"{name}.{part}"] for part in ("weight", "bias", "multiplier", "shift")
        )
        step = np.ldexp(multiplier.astype(np.float64), -shift.astype(np.int64)) * unit
        weight = (
            weight.reshape(len(weight), -1, 4)[:, :, :3].reshape(len(weight), -1) if name == "patch_embed" else weight
        )
        scale, zero = self.constant(f"{name}.weight.scale", step / read), np.zeros(len(step))
        stored = [
            self.constant(f"{name}.weight", weight.T, np.int8),
            scale,
            self.constant(f"{name}.weight.zero", zero, np.int8),
        ]
        product = self.node(
            "MatMul", f"{name}.product", [x, self.node("DequantizeLinear", f"{name}.real", stored, axis=1)]
        )
        stored = [self.constant(f"{name}.bias", bias, np.int32), self.constant(f"{name}.bias.scale", step)]
        return self.node(
            "Add", f"{name}.sum", [product, self.node("DequantizeLinear", f"{name}.offset", stored, axis=0)]
        )

    def norm(self, name: str, x: str, to: str = "") -> str:
        """A layer norm's result, called `to`, or as the norm."""
        gamma, beta, shift = (self.tensors[f"{name}.{part}"].astype(np.float64) for part in ("gamma", "beta", "shift"))
        factor = 2.0 ** (NORM_FRACTION_BITS - float(shift))
        arguments = [self.constant(f"{name}.gamma", gamma * factor), self.constant(f"{name}.beta", beta * factor)]
        result = self.node("LayerNormalization", f"{to or name}.real", [x, *arguments], axis=-1, epsilon=_EPSILON)
        return self.stored(to or name, result, np.int8)

    def network_output(self) -> str:
        """Add the whole network, and return the name of its output."""
        x = self.embedding()
        for i in range(blocks_run(self.a, self.of)):
            x = self.attention(f"blocks.{i}", x)
            x = self.experts(i, x) if i in self.a.moe_blocks else self.mlp(f"blocks.{i}", x)
        return self.head(x)

    def embedding(self) -> str:
        """The residual stream before the first block, [T, D]."""
        (rows, columns), p = self.a.grid, self.a.patch
        pixels = self.reshape("pixels.split", "image", rows, p, columns, p, 3)
        pixels = self.node("Transpose", "pixels.by_patch", [pixels], perm=[0, 2, 1, 3, 4])
        pixels = self.reshape("pixels.integers", pixels, rows * columns, p * p * 3)
        arguments = [self.constant("pixels.unit", 1.0), self.constant("pixels.zero", 128, np.uint8)]
        patches = self.node("DequantizeLinear", "pixels.real", [pixels, *arguments])
        x = self.stored("patch_embed.stored", self.linear("patch_embed", patches), np.int16)
        position = self.constant("position.integers", self.tensors["position"], np.int16)
        position = self.node("DequantizeLinear", "position.real", [position, self.constant("position.unit", 1.0)])
        if prefix := self.a.prefix_tokens:
            zeros = self.constant("prefix.zeros", np.zeros((prefix, self.a.width)))
            x = self.node("Concat", "prefix.patches", [zeros, x], axis=0)
        return self.stored("embedded.stored", self.node("Add", "embedded.sum", [x, position]), np.int16)

    def attention(self, block: str, x: str) -> str:
        heads, tokens = self.a.heads, self.a.tokens
        normed, parts = self.norm(f"{block}.norm1", x), {}
        for part, order in (("query", [1, 0, 2]), ("key", [1, 2, 0]), ("value", [1, 0, 2])):
            name = f"{block}.{part}"

            def by_heads(integers: str, name: str = name, order: list[int] = order) -> str:
                split = self.reshape(f"{name}.split", integers, tokens, heads, -1)
                return self.node("Transpose", f"{name}.heads", [split], perm=order)

            parts[part] = self.stored(name, self.linear(name, normed), np.int8, arranged=by_heads)
        multiplier, shift = (float(self.tensors[f"{block}.scores.{part}"]) for part in ("multiplier", "shift"))
        products = self.node("MatMul", f"{block}.products", [parts["query"], parts["key"]])
        unit = self.constant(f"{block}.scores.unit_of_products", multiplier * 2.0**-shift * _OCTAVE)
        scores = self.node("Mul", f"{block}.scores.real", [products, unit])
        scores = self.stored(f"{block}.scores", scores, np.int16, _OCTAVE)
        probabilities = self.node("Softmax", f"{block}.probabilities", [scores], axis=-1)
        attended = self.node("MatMul", f"{block}.attended", [probabilities, parts["value"]])
        unit = 2.0 ** -float(self.tensors[f"{block}.attention_shift"])

        def by_tokens(integers: str) -> str:
            turned = self.node("Transpose", f"{block}.attention.tokens", [integers], perm=[1, 0, 2])
            return self.reshape(f"{block}.attention.joined", turned, tokens, self.a.width)

        attended = self.stored(f"{block}.attention", attended, np.int8, unit, by_tokens)
        return self.added(block, "projection", x, self.linear(f"{block}.projection", attended, read=unit))

    def added(self, block: str, name: str, x: str, update: str) -> str:
        """The residual stream plus an update, both as the machine stores them."""
        update = self.stored(f"{block}.{name}.update", update, np.int16)
        return self.stored(f"{block}.{name}.added", self.node("Add", f"{block}.{name}.total", [x, update]), np.int16)

    def hidden(self, name: str, table: str, x: str) -> str:
        """The hidden units of an MLP or expert: its first layer's result, to 10 bits, looked up in the table of GELU."""
        bounds = [self.constant("index.low", -_HALF_TABLE), self.constant("index.high", _HALF_TABLE - 1)]
        index = self.node("Clip", f"{name}.index", [self.linear(name, x), *bounds])
        arguments = [self.constant(f"{name}.unit", 1.0), self.constant(f"{name}.zero", 0, np.int16)]
        index = self.node("QuantizeLinear", f"{name}.integers", [index, *arguments])
        index = self.node("Cast", f"{name}.wide", [index], to=TensorProto.INT32)
        entry = self.node("Add", f"{name}.entry", [index, self.constant("index.middle", _HALF_TABLE, np.int32)])
        found = self.node("Gather", f"{name}.gelu", [self.constant(table, self.tensors[table], np.int8), entry], axis=0)
        return self.node("DequantizeLinear", f"{name}.hidden", [found, self.constant(f"{name}.hidden.unit", 1.0)])

    def mlp(self, block: str, x: str) -> str:
        normed = self.norm(f"{block}.norm2", x)
        hidden = self.hidden(f"{block}.mlp.up", f"{block}.mlp.table", normed)
        return self.added(block, "mlp.down", x, self.linear(f"{block}.mlp.down", hidden))

    def experts(self, i: int, x: str) -> str:
        """A mixture of experts. Every expert processes every token; scores of experts that are not chosen are 0."""
        block, kept = f"blocks.{i}", self.of.pathway[i]
        normed, router = self.norm(f"{block}.norm2", x), f"{block}.router.{self.task}"
        scores = self.stored(router, self.linear(router, normed, unit=_OCTAVE), np.int16, _OCTAVE)
        count = self.constant(f"{router}.count", np.array([min(self.of.top_k, len(kept))]), np.int64)
        largest, chosen = f"{router}.largest", f"{router}.chosen"
        self.nodes.append(helper.make_node("TopK", [scores, count], [largest, chosen], name=chosen, axis=-1))
        ends = self.constant("experts.off_on", np.array([0, 1]))
        experts = self.constant(f"{router}.experts", len(kept), np.int64)
        mask = self.node("OneHot", f"{router}.one_hot", [chosen, experts, ends], axis=-1)
        mask = self.node(
            "ReduceSum", f"{router}.mask", [mask, self.constant("axis.second", np.array([1]), np.int64)], keepdims=0
        )
        probabilities = self.node("Softmax", f"{router}.probabilities", [scores], axis=-1)
        weights = self.node("Mul", f"{router}.scores", [probabilities, mask])
        unit = 2.0 ** int(self.tensors[f"{block}.score_shift"])
        for column, e in enumerate(kept):
            expert = f"{block}.experts.{e}"
            hidden = self.hidden(f"{expert}.up", f"{block}.experts.table", normed)
            update = self.linear(f"{expert}.down", hidden, unit=unit)
            update = self.stored(f"{expert}.down.stored", update, np.int16, unit)
            place = self.constant(f"{router}.column{column}", np.array([column]), np.int64)
            weight = self.node("Gather", f"{expert}.score", [weights, place], axis=1)
            x = self.added(block, f"experts.{e}.down", x, self.node("Mul", f"{expert}.weighed", [update, weight]))
        return x

    def head(self, x: str) -> str:
        """The task's prediction from the residual stream."""
        unit, parts, name = self.of.output_scale, [], final_norm(self.task, self.of)
        for layer in head_layers(self.a, self.task, self.of):
            span = (("first", layer.first), ("end", layer.first + layer.count), ("axis", 0))
            span = [self.constant(f"{layer.name}.{part}", np.array([value]), np.int64) for part, value in span]
            tokens = self.mean(x) if pools_first(self.of) else self.node("Slice", f"{layer.name}.stream", [x, *span])
            tokens = self.norm(name, tokens, to=f"{layer.name}.tokens")
            sums = self.linear(layer.name, tokens, unit=unit)
            parts.append(self.stored(f"{layer.name}.stored", sums, np.int16, unit, self.arranged_output))
        return self.logits(parts) if self.of.kind == CLASSIFICATION else parts[0]

    def mean(self, x: str) -> str:
        """The mean of the patch tokens, [1, D], as the machine stores it."""
        name = pool(self.task)
        first, end = (
            self.constant(f"{name}.{part}", np.array([value]), np.int64)
            for part, value in (("first", self.a.prefix_tokens), ("end", self.a.tokens))
        )
        axis = self.constant("axis.first", np.array([0]), np.int64)
        patches = self.node("Slice", f"{name}.patches", [x, first, end, axis])
        return self.stored(name, self.node("ReduceMean", f"{name}.real", [patches, axis], keepdims=1), np.int16)

    def arranged_output(self, integers: str) -> str:
        """The head's integers [tokens, outputs] in the shape of the prediction; those of a classification as they are."""
        if self.of.kind == CLASSIFICATION:
            return integers
        if self.of.kind == FEATURES:
            return self.reshape("output.shaped", integers, 1, self.a.tokens, self.of.channels)
        (rows, columns), r = self.a.grid, self.of.upscale
        output = self.reshape("output.patches", integers, rows, columns, r, r, self.of.channels)
        output = self.node("Transpose", "output.pixels", [output], perm=[4, 0, 2, 1, 3])
        return self.reshape("output.shaped", output, 1, self.of.channels, rows * r, columns * r)

    def logits(self, parts: list[str]) -> str:
        first = self.constant("axis.first", np.array([0]), np.int64)
        means = [self.node("ReduceMean", f"logits.{i}", [part, first], keepdims=1) for i, part in enumerate(parts)]
        if len(means) == 1:
            return means[0]
        total = self.node("Add", "logits.sum", means)
        if self.of.pooling == CLASS_AND_MEAN:
            return total
        return self.node("Mul", "logits.mean", [total, self.constant("logits.half", 0.5)])
