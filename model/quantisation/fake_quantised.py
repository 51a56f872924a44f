"""The integer network as a PyTorch module: the same integers as `moesaic.model.quantisation.integer`, with gradients for the weights."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from moesaic.model.network.heads import pixel_shuffle
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.pathway import Pathways, whole_network
from moesaic.model.quantisation import straight_through as ops
from moesaic.model.quantisation.gelu import gelu_table
from moesaic.model.quantisation.layers import linear_layers, norm_layers
from moesaic.model.quantisation.quantise import (
    LinearIntegers,
    NormIntegers,
    mean_ratio,
    quantise_linear,
    quantise_norm,
    quantise_position,
    score_ratio,
    weight_options,
)
from moesaic.model.quantisation.scales import Scales
from moesaic.spec.arithmetic import fixed_point_multiplier
from moesaic.spec.heads import (
    CLASS_AND_DISTILLATION,
    FEATURES,
    final_norm,
    head_layers,
    head_tokens,
    is_dense,
    pool,
    pools_first,
)

# Letters in shape comments: N = images, T = tokens, D = width, H = heads. Rows are the N * T tokens of all images.

EVERYTHING = ("",)
"""A selection that contains every layer."""


@dataclass(frozen=True)
class Parameters:
    """Every layer's integers by name, derived from the weights at one time. position: [T, D], in units of the residual stream."""

    position: Tensor
    linear: dict[str, LinearIntegers]
    norms: dict[str, NormIntegers]


class FakeQuantised(nn.Module):
    """A model run in integers, which are held in float64 tensors; its parameters are the model's.

    integer: names of the layers that run in integers, or prefixes of names that end before a dot; all layers by default. The others
    run in real numbers, with weights that are not rounded. A residual addition belongs to the layer before it. "position" is the
    position embedding; "scores" is the product of query and key with the softmax. pathways: each task's, by default the whole network.
    """

    def __init__(
        self, model: M3ViT, scales: Scales, integer: Collection[str] = EVERYTHING, pathways: Pathways | None = None
    ) -> None:
        super().__init__()
        self.model, self.scales, self.selection = model, scales, tuple(integer)
        self.pathways = whole_network(model) if pathways is None else pathways
        for i, block in enumerate(scales.blocks):
            table = torch.from_numpy(gelu_table(block.gelu_index, block.hidden)).double()
            self.register_buffer(f"table_{i}", table.to(self.device), persistent=False)

    @property
    def device(self) -> torch.device:
        """The model's device, on which images must be too; the model must not move after this object is created."""
        return self.model.device

    def is_integer(self, name: str) -> bool:
        """Whether a layer runs in integers."""
        return any(not part or name == part or name.startswith(f"{part}.") for part in self.selection)

    def derive(self) -> Parameters:
        """The integers of the current weights, valid for any number of calls until the weights change.

        OverflowError if a weight is too large for its layer's result, see `quantise_linear`.
        """
        return Parameters(
            quantise_position(self.model, self.scales.stream, self.is_integer("position")),
            {
                name: quantise_linear(layer, **weight_options(name, self.scales), integer=self.is_integer(name))
                for name, layer in linear_layers(self.model, self.scales, self.pathways)
            },
            {name: quantise_norm(layer, self.is_integer(name)) for name, layer in norm_layers(self.model, self.scales)},
        )

    def choose(self, integers: Parameters, reals: Parameters) -> Parameters:
        """The result of `derive`, assembled from parameters derived with every layer in integers and with none."""
        return Parameters(
            integers.position if self.is_integer("position") else reals.position,
            {n: (integers if self.is_integer(n) else reals).linear[n] for n in integers.linear},
            {n: (integers if self.is_integer(n) else reals).norms[n] for n in integers.norms},
        )

    def forward(
        self,
        images: Tensor,
        task: str,
        parameters: Parameters | None = None,
        record: Callable[[str, Tensor], None] | None = None,
    ) -> Tensor:
        """The task's prediction [N, C, h, w], float64 real values, for images uint8 [N, height, width, 3].

        A classification gives logits [N, classes], features [N, tokens, width]. parameters: the result of `derive`, which is called
        if they are left out. record: called with the name and the integers of each layer for which a bundle has golden vectors, in the
        shapes of `IntegerNetwork.run`; gradients pass through them.
        """
        return _Pass(self, images, task, parameters or self.derive(), record).run()

    def predict(
        self, images: np.ndarray, task: str, parameters: Parameters | None = None, batch: int = 16
    ) -> np.ndarray:
        """Predictions in the shapes of `forward`, float64, for images uint8 [N, height, width, 3].

        parameters: see `forward`. batch: images per pass.
        """
        with torch.no_grad():
            parameters = parameters or self.derive()
            batches = (torch.from_numpy(images[i : i + batch]).to(self.device) for i in range(0, len(images), batch))
            parts = [self(images, task, parameters).cpu() for images in batches]
        return torch.cat(parts).numpy()


class _Pass:
    """One task's path for one batch of images."""

    def __init__(
        self, network: FakeQuantised, images: Tensor, task: str, parameters: Parameters, record: Callable | None
    ) -> None:
        self.network, self.model, self.scales = network, network.model, network.scales
        self.images, self.task, self.parameters, self.record = images, task, parameters, record
        self.integer, self.count = network.is_integer, len(images)

    def run(self) -> Tensor:
        x = self._embed()
        c = self.model.configuration
        for i in range(c.last_block(self.task) + 1):
            x = self._attention(i, x)
            x = self._experts(i, x) if c.is_moe(i) else self._mlp(i, x)
            self._note(f"blocks.{i}.output", x)
        return self._head(x)

    def _note(self, name: str, rows: Tensor) -> None:
        if self.record is not None:
            self.record(name, rows.view(self.count, -1, rows.shape[-1]))

    def _linear(self, name: str, x: Tensor, bits: int) -> Tensor:
        layer, integer = self.parameters.linear[name], self.integer(name)
        return ops.saturate(ops.requantise(x @ layer.weight.mT + layer.bias, layer.ratio, integer), bits, integer)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        layer = self.parameters.norms[name]
        result = ops.layer_norm(x, layer.gamma, layer.beta, layer.unit, self.integer(name))
        self._note(name, result)
        return result

    def _embed(self) -> Tensor:
        c = self.model.configuration
        (rows, columns), p = c.grid, c.patch
        pixels = nn.functional.pad(self.images.double() - 128, (0, 1))
        patches = pixels.view(-1, rows, p, columns, p, 4).transpose(2, 3).reshape(self.count, rows * columns, -1)
        embedded = nn.functional.pad(self._linear("patch_embed", patches, 16), (0, 0, c.prefix_tokens, 0))
        x = ops.saturate(self.parameters.position + embedded, 16, self.integer("patch_embed")).view(-1, c.width)
        self._note("patch_embed", x)
        return x

    def _attention(self, i: int, x: Tensor) -> Tensor:
        block, of, c = f"blocks.{i}", self.scales.blocks[i], self.model.configuration
        normed = self._norm(f"{block}.norm1", x)
        parts = {part: self._linear(f"{block}.{part}", normed, 8) for part in ("query", "key", "value")}
        for part, value in parts.items():
            self._note(f"{block}.{part}", value)
        q, k, v = (
            p.view(self.count, c.tokens, c.heads, -1).transpose(1, 2) for p in parts.values()
        )  # [N, H, T, D / H]
        integer, ratio = self.integer(f"{block}.scores"), score_ratio(of, c.head_dim)
        if integer:
            ratio = _fixed_point(ratio)
        scores = ops.saturate(ops.requantise(q @ k.mT, ratio, integer), 16, integer)
        probabilities = ops.softmax(scores, integer)
        attended = ops.attend(probabilities, v, of.attention_shift, self.integer(f"{block}.attention"))
        if self.record is not None:
            self.record(f"{block}.scores", scores)
            self.record(f"{block}.probabilities", probabilities)
        attended = attended.transpose(1, 2).reshape(-1, c.width)
        self._note(f"{block}.attention", attended)
        x = self._add(f"{block}.projection", x, self._linear(f"{block}.projection", attended, 16))
        self._note(f"{block}.projection", x)
        return x

    def _add(self, name: str, x: Tensor, update: Tensor) -> Tensor:
        return ops.saturate(x + update, 16, self.integer(name))

    def _gelu(self, i: int, name: str, index: Tensor) -> Tensor:
        of, table = self.scales.blocks[i], getattr(self.network, f"table_{i}")
        return ops.gelu(index, table, of.gelu_index, of.hidden, self.integer(name))

    def _mlp(self, i: int, x: Tensor) -> Tensor:
        block = f"blocks.{i}"
        normed = self._norm(f"{block}.norm2", x)
        hidden = self._gelu(i, f"{block}.mlp.up", self._linear(f"{block}.mlp.up", normed, 10))
        self._note(f"{block}.hidden", hidden)
        return self._add(f"{block}.mlp.down", x, self._linear(f"{block}.mlp.down", hidden, 16))

    def _experts(self, i: int, x: Tensor) -> Tensor:
        block, router = f"blocks.{i}", f"blocks.{i}.router.{self.task}"
        normed = self._norm(f"{block}.norm2", x)
        logits = self._linear(router, normed, 16)
        self._note(f"{block}.router", logits)
        own = self.network.pathways[self.task]
        selected, scores = ops.route(logits, own.top_k, self.integer(router))
        for column, e in enumerate(own.pathway[i]):
            expert, queue = f"{block}.experts.{e}", selected[:, column].nonzero()[:, 0]
            if len(queue) == 0:
                continue
            hidden = self._gelu(i, f"{expert}.up", self._linear(f"{expert}.up", normed[queue], 10))
            update = self._linear(f"{expert}.down", hidden, 16)
            integer, shift = self.integer(f"{expert}.down"), self.scales.blocks[i].score_shift
            update = ops.weigh_by_score(update, scores[queue, column, None], shift, integer)
            x = ops.saturate(x.index_add(0, queue, update), 16, integer)
        return x

    def _head(self, x: Tensor) -> Tensor:
        c, unit = self.model.configuration, self.scales.outputs[self.task]
        own = c.bundle_task(self.task, self.network.pathways[self.task])
        x = x.view(self.count, c.tokens, -1)[:, head_tokens(c.architecture, self.task, own)]
        if pools_first(own):
            integer, ratio = self.integer(pool(self.task)), mean_ratio(x.shape[1])
            ratio = _fixed_point(ratio) if integer else ratio
            x = ops.mean_of_rows(x, ratio, integer)[:, None]
        x = self._norm(final_norm(self.task, own), x.reshape(-1, c.width)).view(x.shape)
        layers = head_layers(c.architecture, self.task, own)
        if is_dense(own.kind):
            patches = self._linear(layers[0].name, x[:, c.prefix_tokens :], 16)
            output = pixel_shuffle(patches, c.grid, c.resolution, own.channels)
            self._note_output(output.movedim(1, -1))
            return output * unit
        counts = [layer.count for layer in layers]
        rows = torch.cat([self._linear(layer.name, part, 16) for layer, part in zip(layers, x.split(counts, 1))], 1)
        self._note_output(rows[:, None])
        if own.kind == FEATURES:
            return rows * unit
        sums = [
            part.sum(1) / (len(layers) if own.pooling == CLASS_AND_DISTILLATION else part.shape[1])
            for part in rows.split(counts, 1)
        ]
        return torch.stack(sums).sum(0) * unit

    def _note_output(self, output: Tensor) -> None:
        if self.record is not None:
            self.record("output", output)


def _fixed_point(ratio: float) -> float:
    """A factor as the machine has it, multiplier / 2**shift."""
    multiplier, shift = fixed_point_multiplier(ratio)
    return float(np.ldexp(float(multiplier), -int(shift)))
