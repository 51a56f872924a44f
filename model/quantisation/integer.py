"""The integer network: a bundle's tensors evaluated layer by layer in the hardware's arithmetic."""

import numpy as np

from moesaic.errors import UserError
from moesaic.spec.arithmetic import (
    TABLE_ENTRIES,
    TABLE_INDEX_BITS,
    layer_norm,
    matmul_exact,
    mean_of_rows,
    requantise,
    route_token,
    saturate,
    softmax_rows,
    weigh_by_score,
)
from moesaic.spec.bundle import Architecture, Task, output_shape, pathways
from moesaic.spec.heads import blocks_run, final_norm, head_layers, head_tokens, is_dense, pool, pools_first
from moesaic.spec.pathway_names import split_pathway_name
from moesaic.spec.predictions import real_output

# Letters in shape comments: N = images, T = tokens, D = width, H = heads. Rows are the N * T tokens of all images.


class IntegerNetwork:
    """Evaluates any task of a quantised network exactly, so that the machine can be compared with it value by value."""

    def __init__(self, architecture: Architecture, tasks: dict[str, Task], tensors: dict[str, np.ndarray]) -> None:
        """The arguments are the fields of a moesaic.spec.bundle.Bundle; that module lists every tensor's shape and dtype."""
        self.architecture, self.tasks, self.tensors = architecture, tasks, tensors
        self.pathways = pathways(tasks)

    def run(self, images: np.ndarray, task: str, record: dict[str, np.ndarray] | None = None) -> np.ndarray:
        """The task's output, int16 [N, rows, columns, channels], in units of its pathway's `output_scale`.

        For its shape see moesaic.spec.bundle.output_shape.

        images: uint8 [N, height, width, 3]. task: its name, for its default pathway, or TASK@ALTERNATIVE. record: receives every
        tensor that moesaic.spec.bundle lists as a golden vector, under its layer's name, with a leading dimension N.
        UserError if the images have another shape or dtype, or the network has no such task.
        """
        a = self.architecture
        if images.shape[1:] != (a.image_height, a.image_width, 3) or images.dtype != np.uint8:
            size = f"uint8 (N, {a.image_height}, {a.image_width}, 3)"
            raise UserError(f"images are {images.dtype} {images.shape}, the network takes {size}: convert them")
        if task not in self.pathways:
            raise UserError(f"unknown task {task!r}: this network has {', '.join(self.pathways)}")
        self._count, self._record = len(images), record
        x = self._embed(images)
        for i in range(blocks_run(a, self.pathways[task])):
            block = f"blocks.{i}"
            x = self._attention(block, x)
            x = self._experts(i, task, x) if i in a.moe_blocks else self._mlp(block, x)
            self._note(f"{block}.output", x, np.int16)
        return self._head(task, x)

    def predict(self, images: np.ndarray, task: str, batch: int = 16) -> np.ndarray:
        """The output of `run` as metrics take it, see moesaic.spec.predictions.real_output. batch: images per pass."""
        own = self.pathways[task]
        raw = np.concatenate([self.run(images[i : i + batch], task) for i in range(0, len(images), batch)])
        return real_output(own.kind, raw, own.output_scale, own.pooling)

    def _note(self, name: str, rows: np.ndarray, dtype: type) -> None:
        if self._record is not None:
            self._record[name] = rows.astype(dtype).reshape(self._count, -1, rows.shape[-1])

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        total = matmul_exact(x, self.tensors[f"{name}.weight"]) + self.tensors[f"{name}.bias"]
        return requantise(total, self.tensors[f"{name}.multiplier"], self.tensors[f"{name}.shift"])

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        gamma, beta, shift = (self.tensors[f"{name}.{part}"] for part in ("gamma", "beta", "shift"))
        result = layer_norm(x, gamma, beta, int(shift))
        self._note(name, result, np.int8)
        return result

    def _embed(self, images: np.ndarray) -> np.ndarray:
        a = self.architecture
        (rows, columns), p = a.grid, a.patch
        pixels = np.zeros((*images.shape[:3], 4), np.int64)
        pixels[..., :3] = images.astype(np.int64) - 128
        patches = pixels.reshape(-1, rows, p, columns, p, 4).swapaxes(2, 3).reshape(-1, p * p * 4)
        x = np.tile(self.tensors["position"].astype(np.int64), (len(images), 1, 1))  # [N, T, D]
        embedded = saturate(self._linear("patch_embed", patches), 16)
        after = slice(a.prefix_tokens, None)
        x[:, after] = saturate(x[:, after] + embedded.reshape(len(images), -1, a.width), 16)
        x = x.reshape(-1, a.width)
        self._note("patch_embed", x, np.int16)
        return x

    def _attention(self, block: str, x: np.ndarray) -> np.ndarray:
        a = self.architecture
        normed = self._norm(f"{block}.norm1", x)
        q, k, v = (saturate(self._linear(f"{block}.{part}", normed), 8) for part in ("query", "key", "value"))
        for part, value in (("query", q), ("key", k), ("value", v)):
            self._note(f"{block}.{part}", value, np.int8)
        split = (self._count, a.tokens, a.heads, -1)
        q, k, v = (value.reshape(split).swapaxes(1, 2) for value in (q, k, v))  # [N, H, T, D / H]
        heads = [[self._head_of_attention(block, *parts) for parts in zip(*image)] for image in zip(q, k, v)]
        scores, probabilities, attended = (np.array(part) for part in _transpose(heads))
        if self._record is not None:
            self._record[f"{block}.scores"] = scores
            self._record[f"{block}.probabilities"] = probabilities
        attended = attended.swapaxes(1, 2).reshape(-1, a.width)
        self._note(f"{block}.attention", attended, np.int8)
        x = saturate(x + saturate(self._linear(f"{block}.projection", attended), 16), 16)
        self._note(f"{block}.projection", x, np.int16)
        return x

    def _head_of_attention(
        self, block: str, q: np.ndarray, k: np.ndarray, v: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One head of one image: scores int16 [T, T], unnormalised probabilities int8 [T, T] and the result, integers [T, D / H]."""
        multiplier, shift = self.tensors[f"{block}.scores.multiplier"], self.tensors[f"{block}.scores.shift"]
        scores = saturate(requantise(matmul_exact(q, k), multiplier, shift), 16)
        probabilities, multiplier, shift = softmax_rows(scores, scores.max(1))
        shift = np.maximum(shift - int(self.tensors[f"{block}.attention_shift"]), 0)
        total = matmul_exact(probabilities, v.T)
        attended = saturate(requantise(total, multiplier[:, None], shift[:, None]), 8)
        return scores.astype(np.int16), probabilities.astype(np.int8), attended

    def _up(self, name: str, table: str, x: np.ndarray) -> np.ndarray:
        index = saturate(self._linear(name, x), TABLE_INDEX_BITS) + TABLE_ENTRIES // 2
        return self.tensors[table].astype(np.int64)[index]

    def _mlp(self, block: str, x: np.ndarray) -> np.ndarray:
        normed = self._norm(f"{block}.norm2", x)
        hidden = self._up(f"{block}.mlp.up", f"{block}.mlp.table", normed)
        self._note(f"{block}.hidden", hidden, np.int8)
        return saturate(x + saturate(self._linear(f"{block}.mlp.down", hidden), 16), 16)

    def _experts(self, i: int, task: str, x: np.ndarray) -> np.ndarray:
        block, experts = f"blocks.{i}", self.pathways[task].pathway[i]
        normed = self._norm(f"{block}.norm2", x)
        logits = saturate(self._linear(f"{block}.router.{task}", normed), 16)
        self._note(f"{block}.router", logits, np.int16)
        selected, scores = route_token(logits, self.pathways[task].top_k)
        x, shift = x.copy(), int(self.tensors[f"{block}.score_shift"])
        for column, e in enumerate(experts):
            queue = np.flatnonzero(selected[:, column])
            if len(queue) == 0:
                continue
            hidden = self._up(f"{block}.experts.{e}.up", f"{block}.experts.table", normed[queue])
            update = saturate(self._linear(f"{block}.experts.{e}.down", hidden), 16)
            x[queue] = saturate(x[queue] + weigh_by_score(update, scores[queue, column, None], shift), 16)
        return x

    def _head(self, task: str, x: np.ndarray) -> np.ndarray:
        a, own, name = self.architecture, self.pathways[task], split_pathway_name(task)[0]
        x = x.reshape(self._count, a.tokens, -1)[:, head_tokens(a, name, own)]
        if pools_first(own):
            multiplier, shift = (self.tensors[f"{pool(name)}.{part}"] for part in ("multiplier", "shift"))
            x = mean_of_rows(x, multiplier, shift)[:, None]
        x = self._norm(final_norm(name, own), x.reshape(-1, a.width)).reshape(*x.shape)
        if is_dense(own.kind):
            output = self._dense_output(f"heads.{name}", x[:, a.prefix_tokens :], own.upscale)
        else:
            output, row = np.zeros((self._count, *output_shape(a, own)), np.int16), 0
            for layer in head_layers(a, name, own):
                rows = slice(row, row + layer.count)
                output[:, 0, rows] = saturate(self._linear(layer.name, x[:, rows]), 16)
                row += layer.count
        if self._record is not None:
            self._record["output"] = output
        return output

    def _dense_output(self, name: str, patches: np.ndarray, r: int) -> np.ndarray:
        """Patches [N, patches, D] through a head with r x r output pixels per patch, int16 [N, rows * r, columns * r, channels]."""
        rows, columns = self.architecture.grid
        output = saturate(self._linear(name, patches.reshape(-1, patches.shape[-1])), 16).astype(np.int16)
        output = output.reshape(self._count, rows, columns, r, r, -1).swapaxes(2, 3)
        return output.reshape(self._count, rows * r, columns * r, -1)


def _transpose(heads: list[list[tuple[np.ndarray, ...]]]) -> list[list[list[np.ndarray]]]:
    """[image][head](parts) to [part][image][head]."""
    return [[[parts[which] for parts in image] for image in heads] for which in range(len(heads[0][0]))]
