"""The bundle: a quantised network with a pathway per task, which the training side hands to the generator.

A bundle is a directory: bundle.json (architecture, tasks, hashes), tensors.npz (the integer tensors), golden.npz (integer
results of every layer for one image), model.onnx and model.<task>.onnx.

Tensors. A linear layer NAME consists of NAME.weight int8 (out, in) in [-127, 127], NAME.bias int32 (out,), NAME.multiplier uint16
(out,) and NAME.shift uint8 (out,): result = requantise(x @ weight.T + bias, multiplier, shift). A layer norm NAME consists of
NAME.gamma and NAME.beta int16 (width,) and NAME.shift uint8 (). T is prefix_tokens + patches; the prefix tokens come first.

    patch_embed                      linear, in = patch * patch * 4, order [y][x][R, G, B, 0], pixels as uint8 - 128
    position                         int16 (T, width); the rows of prefix tokens are the tokens themselves
    blocks.I.norm1, blocks.I.norm2   layer norms
    blocks.I.query, .key, .value     linear (width, width), heads are contiguous slices of the output
    blocks.I.scores.multiplier, .scores.shift    uint16 (), uint8 (): scale products to int16 in 1/256 octave
    blocks.I.attention_shift         uint8 (): attention result = value scale * 2**-shift
    blocks.I.score_shift             uint8 (), of a MoE block: an expert's result, before its score, = stream scale * 2**shift
    blocks.I.projection              linear, added to the residual
    blocks.I.mlp.up, .mlp.down       linear (dense blocks); .mlp.table int8 (1024,): GELU, indexed by up's result + 512
    blocks.I.router.PATHWAY          linear (kept experts in ascending order, width), to int16 in 1/256 octave; PATHWAY is TASK for a
                                     task's default pathway and TASK@ALTERNATIVE for another one, see Task
    blocks.I.experts.E.up, .down     linear; blocks.I.experts.table int8 (1024,). If E is among the block's four_bit_experts, its weights
                                     are in [-7, 7] and stored as moesaic.spec.int4 packs them: uint8 (out, ceil(in / 2))
    norm                             final layer norm of all tasks without one of their own; absent if there is no such task
    heads.TASK                       linear (upscale * upscale * channels, width), order [y][x][channel], to int16
    heads.TASK.class, .mean, .distillation, .mean_before_norm   linear (channels, width), to int16: one or two of them in place of
                                     heads.TASK in a classification, see moesaic.spec.heads
    heads.TASK.norm                  layer norm in front of the head of features, and behind the mean of .mean_before_norm
    heads.TASK.pool.multiplier, .pool.shift      uint16 (), uint8 (), with .mean_before_norm: its mean_of_rows of the patch tokens

Golden vectors: `image` uint8 (height, width, 3) and PATHWAY/LAYER for: patch_embed int16 (T, width), the residual after embedding;
blocks.I.norm1 int8; .query, .key, .value int8; .scores int16 (heads, T, T); .probabilities int8 (heads, T, T); .attention int8
(T, width); .projection int16, the residual after attention; .norm2 int8; .hidden int8 (T, mlp_hidden) in dense blocks; .router
int16 (T, kept experts) in MoE blocks; .output int16, the residual after the block; the final norm int8, by its name, for
the tokens that moesaic.spec.heads.head_tokens gives, or for the one row that moesaic.spec.heads.pools_first makes; output int16
(rows, columns, channels), see `output_shape`. Scores and
probabilities are left out if there are more than 256 tokens. A pathway has no vectors of blocks that its task does not run.
"""

from __future__ import annotations

import io
import math
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from moesaic.errors import UserError
from moesaic.files import MANIFEST_HASH, read_file, read_manifest, sealed, write_directory
from moesaic.spec.arithmetic import NORM_SHIFT_MAX, SCORE_SHIFT_MAX, TABLE_ENTRIES
from moesaic.spec.heads import final_norm, head_layers, is_dense, moe_blocks_run, pool, pools_first, task_problem
from moesaic.spec.input_description import MINUS_ONE_TO_ONE, InputDescription
from moesaic.spec.int4 import INT4_MAX, pack_int4, unpack_int4
from moesaic.spec.isa import PARAMETER_SHIFT_MAX
from moesaic.spec.output_description import USUAL_OUTPUT, OutputDescription, output_problem
from moesaic.spec.pathway_names import is_alternative_name, is_task_name, pathway_name

FORMAT, VERSION = "moesaic bundle", 3
MANIFEST = "bundle.json"
EXPERT_WEIGHT_BITS = (8, 4)
SIZES_MAX = {"prefix_tokens": 8, "depth": 4_096, "experts": 4_096}
"""Of an architecture. Networks have far fewer blocks and experts; a damaged file with more would fill memory with their names."""
_REMEDY = "make it again with `moesaic export`"
_OF_EXPERTS = ("experts", "top_k", "expert_hidden")  # may be 0 in a dense network
_OF_BLOCKS = ("moe_blocks", "four_bit_experts")  # all other fields of an architecture are integers
_CLASS_TOKEN_ALONE = 1  # the number of prefix tokens if a manifest does not state it


@dataclass(frozen=True)
class Architecture:
    """Sizes of a network. moe_blocks: indices of the blocks that have experts instead of an MLP; empty for a dense network.

    image_height, image_width: pixels, multiples of patch. width: channels of a token, a multiple of heads. depth: number of blocks.
    top_k: experts per token. prefix_tokens: tokens before those of the patches (a class token, a distillation token, registers), 0 to
    SIZES_MAX. four_bit_experts: MoE block to those of its experts, in ascending order, whose weights have 4 bits and are in
    [-7, 7]; a block without any is not mentioned. All other weights have 8 bits.
    """

    image_height: int
    image_width: int
    patch: int
    width: int
    depth: int
    heads: int
    mlp_hidden: int
    expert_hidden: int
    experts: int
    top_k: int
    moe_blocks: tuple[int, ...]
    prefix_tokens: int = _CLASS_TOKEN_ALONE
    four_bit_experts: dict[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def grid(self) -> tuple[int, int]:
        """Number of patches down and across the image."""
        return self.image_height // self.patch, self.image_width // self.patch

    @property
    def tokens(self) -> int:
        """Tokens of a frame: prefix tokens and patches."""
        return self.prefix_tokens + self.patches

    @property
    def patches(self) -> int:
        """Patches of a frame."""
        return self.grid[0] * self.grid[1]

    @property
    def all_experts(self) -> dict[int, tuple[int, ...]]:
        """MoE block to all its experts, as a pathway or `four_bit_experts` has them."""
        return dict.fromkeys(self.moe_blocks, tuple(range(self.experts)))

    def weight_bits(self, layer: str) -> int:
        """Bits of a weight, 8 or 4, of the linear layer with this name, or of the layer to which the tensor with this name belongs."""
        return weight_bits(layer, self.four_bit_experts)

    def to_dict(self) -> dict:
        """As a manifest states it; prefix_tokens is left out if it is 1, a class token alone."""
        values = asdict(self)
        if self.prefix_tokens == _CLASS_TOKEN_ALONE:
            del values["prefix_tokens"]
        return values


def weight_bits(layer: str, four_bit_experts: dict[int, tuple[int, ...]]) -> int:
    """See `Architecture.weight_bits`; for networks that have no architecture yet."""
    match layer.split("."):
        case ["blocks", block, "experts", expert, "up" | "down", *_]:
            return 4 if int(expert) in four_bit_experts.get(int(block), ()) else 8
    return 8


@dataclass(frozen=True)
class Alternative:
    """Another pathway of a task, through the same weights and the same head. The fields mean what they mean in Task."""

    top_k: int
    pathway: dict[int, tuple[int, ...]]
    metrics: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One task. kind: one of moesaic.spec.heads.KINDS, or another name; `output` then says how the output is decoded and shown.

    channels: of the output. upscale: output pixels per patch side. output_scale: value of one output unit. top_k: experts per
    token. pathway: block index to the experts kept, in ascending order. metrics: accuracy measured before export, e.g. {"metric":
    "mIoU", "float": 0.71, "integer": 0.70}. class_names: for segmentation and parts. alternatives: name (letters, digits, - and _)
    to another pathway, which an application may take for any frame instead of this one. pooling: of a classification, see
    moesaic.spec.heads.POOLINGS. last_block: of features, the index of the last block that runs, whose tokens the head's norm takes;
    None is the network's last block. Classifications and features have an upscale of 1. output: what the channels mean.
    """

    kind: str
    channels: int
    upscale: int
    output_scale: float
    top_k: int
    pathway: dict[int, tuple[int, ...]]
    metrics: dict = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    alternatives: dict[str, Alternative] = field(default_factory=dict)
    pooling: str = ""
    last_block: int | None = None
    output: OutputDescription = USUAL_OUTPUT

    def to_dict(self) -> dict:
        """As a manifest states it; pooling, last_block and output are left out at their defaults."""
        values = asdict(self) | {"output": self.output.to_dict()}
        return {
            name: value for name, value in values.items() if name not in _UNMENTIONED or value != _UNMENTIONED[name]
        }


_UNMENTIONED = {f.name: f.default for f in fields(Task) if f.name in ("pooling", "last_block")} | {"output": {}}


def output_shape(architecture: Architecture, task: Task) -> tuple[int, int, int]:
    """(rows, columns, channels) of a task's output: pixels of a dense one, otherwise one row with a column per row of the head."""
    if is_dense(task.kind):
        rows, columns = architecture.grid
        return rows * task.upscale, columns * task.upscale, task.channels
    return 1, sum(layer.count for layer in head_layers(architecture, "", task)), task.channels


def pathways(tasks: dict[str, Task]) -> dict[str, Task]:
    """Every pathway of these tasks by its name (moesaic.spec.pathway_names), the default ones first.

    Each is a task without alternatives.
    """
    found = {name: replace(task, alternatives={}) for name, task in tasks.items()}
    for name, task in tasks.items():
        for alternative, a in task.alternatives.items():
            values = {"top_k": a.top_k, "pathway": a.pathway, "metrics": a.metrics, "alternatives": {}}
            found[pathway_name(name, alternative)] = replace(task, **values)
    return found


@dataclass
class Bundle:
    """See the module for files, tensors and golden vectors. extra_files: further files (ONNX), name to content.

    report: what the exporter tells about the network, as JSON. input: what the network's image is.
    """

    name: str
    architecture: Architecture
    tasks: dict[str, Task]
    tensors: dict[str, np.ndarray]
    golden: dict[str, np.ndarray]
    extra_files: dict[str, bytes] = field(default_factory=dict)
    report: dict = field(default_factory=dict)
    input: InputDescription = MINUS_ONE_TO_ONE

    @property
    def sha256(self) -> str:
        """Identity of the bundle: the hash in its manifest, which covers every file."""
        return sealed(self._manifest(), self._files())[MANIFEST_HASH]

    def save(self, directory: Path) -> None:
        """Write the bundle, whole or not at all; the same bundle gives the same bytes. UserError if it cannot be written."""
        write_directory(Path(directory), MANIFEST, self._manifest(), self._files())

    def _manifest(self) -> dict:
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "architecture": self.architecture.to_dict(),
            "tasks": {name: task.to_dict() for name, task in self.tasks.items()},
            "report": self.report,
        }
        return manifest | ({"input": stated} if (stated := self.input.to_dict()) else {})

    def _files(self) -> dict[str, bytes]:
        return {"tensors.npz": _npz(_packed(self)), "golden.npz": _npz(self.golden), **self.extra_files}


def load_bundle(directory: Path | str) -> Bundle:
    """Read a bundle and check every hash, name, shape and dtype. UserError if it is missing, altered or malformed."""
    directory = Path(directory)
    manifest = read_manifest(directory, MANIFEST, FORMAT, VERSION, _REMEDY)
    contents = {name: read_file(directory, manifest, name, _REMEDY) for name in manifest["files"]}
    try:
        architecture = _architecture(manifest["architecture"])
        tasks = {name: _task(values) for name, values in manifest["tasks"].items()}
        tensors, golden = _arrays(contents.pop("tensors.npz")), _arrays(contents.pop("golden.npz"))
        described = InputDescription.from_dict(manifest.get("input", {}))
        bundle = Bundle(manifest["name"], architecture, tasks, tensors, golden, contents, manifest["report"], described)
        if not (problem := _architecture_problem(bundle) or _task_problem(bundle)):
            bundle.tensors = _unpacked(tensors, architecture, tasks)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{directory / MANIFEST} is malformed ({error!r}); {_REMEDY}") from None
    except UserError as error:
        raise UserError(f"{directory / MANIFEST} is malformed: {error}; {_REMEDY}") from None
    if problem:
        raise UserError(f"{directory / MANIFEST} is malformed: {problem}; {_REMEDY}")
    check_tensors(bundle)
    return bundle


def _architecture_problem(bundle: Bundle) -> str:
    """What is wrong with the sizes of a bundle that was read; empty if nothing is."""
    a = bundle.architecture
    if not isinstance(bundle.name, str) or not isinstance(bundle.report, dict):
        return "its name is no text or its report no table"
    for f in fields(a):
        value = getattr(a, f.name)
        least = 0 if f.name == "prefix_tokens" or (f.name in _OF_EXPERTS and not a.moe_blocks) else 1
        if f.name not in _OF_BLOCKS and (type(value) is not int or value < least):
            return f"{f.name} is {value!r}, not an integer from {least}"
    for name, size, divisor in (
        ("image_height", a.image_height, a.patch),
        ("image_width", a.image_width, a.patch),
        ("width", a.width, a.heads),
    ):
        if size % divisor:
            return f"{name} ({size}) is not a multiple of {divisor}"
    for name, greatest in SIZES_MAX.items():
        if (value := getattr(a, name)) > greatest:
            return f"{name} is {value}, at most {greatest} are possible"
    if not _ascending(a.moe_blocks, a.depth):
        return f"moe_blocks {list(a.moe_blocks)} are not ascending numbers below {a.depth}"
    for block, experts in a.four_bit_experts.items():
        if block not in a.moe_blocks:
            return f"four_bit_experts are in block {block}, experts are in {list(a.moe_blocks)}"
        if not experts or not _ascending(experts, a.experts):
            return f"four_bit_experts of block {block} are {list(experts)}, they must be ascending numbers below {a.experts}"
    return "" if bundle.tasks else "it has no task"


def _task_problem(bundle: Bundle) -> str:
    """What is wrong with the first task that does not suit its architecture; empty if none is."""
    a = bundle.architecture
    for name, task in bundle.tasks.items():
        if not is_task_name(name):
            return f"task {name!r} is not named by letters, digits and _"
        numbers = {"channels": task.channels, "upscale": task.upscale}
        for field_name, value in numbers.items():
            if type(value) is not int or value < 1:
                return f"task {name}: {field_name} is {value!r}, not a positive integer"
        if problem := task_problem(a, task, task.channels) or output_problem(task.kind, task.channels, task.output):
            return f"task {name}: {problem}"
        if not is_dense(task.kind) and task.upscale != 1:
            return f"task {name}: its upscale is {task.upscale}, of kind {task.kind} it is 1"
        if type(task.output_scale) not in (int, float) or not 0 < task.output_scale < math.inf:
            return f"task {name}: output_scale is {task.output_scale!r}, not a positive number"
        if not all(isinstance(label, str) for label in task.class_names):
            return f"task {name}: its class names are no texts"
        for alternative in task.alternatives:
            if not is_alternative_name(alternative):
                return f"task {name}: alternative {alternative!r} is not named by letters, digits, - and _"
    for name, task in pathways(bundle.tasks).items():
        if problem := _pathway_problem(a, task):
            return f"task {name}: {problem}"
    return ""


def _pathway_problem(a: Architecture, task: Task) -> str:
    """What is wrong with the default pathway of a task; empty if nothing is."""
    least = 1 if a.moe_blocks else 0
    if type(task.top_k) is not int or task.top_k < least:
        return f"top_k is {task.top_k!r}, not an integer from {least}"
    if not isinstance(task.metrics, dict):
        return "its metrics are no table"
    experts_in = list(moe_blocks_run(a, task))
    if sorted(task.pathway) != experts_in:
        return f"its pathway is for blocks {sorted(task.pathway)}, experts are in {experts_in}"
    for block, kept in task.pathway.items():
        if not _ascending(kept, a.experts) or len(kept) < task.top_k:
            return f"block {block} keeps experts {list(kept)}, it must be {task.top_k} or more ascending numbers below {a.experts}"
    return ""


def _ascending(values: tuple[int, ...], end: int) -> bool:
    return all(type(value) is int and 0 <= value < end for value in values) and list(values) == sorted(set(values))


def _architecture(values: dict) -> Architecture:
    experts = _experts_by_block(values["four_bit_experts"])
    return Architecture(**{**values, "moe_blocks": tuple(values["moe_blocks"]), "four_bit_experts": experts})


def _task(values: dict) -> Task:
    known = {f.name for f in fields(Task)}
    converted = {
        "pathway": _experts_by_block(values["pathway"]),
        "class_names": tuple(values.get("class_names", ())),
        "alternatives": {
            name: Alternative(**{**alternative, "pathway": _experts_by_block(alternative["pathway"])})
            for name, alternative in values.get("alternatives", {}).items()
        },
        "output": OutputDescription.from_dict(values.get("output", {})),
    }
    return Task(**{**{key: value for key, value in values.items() if key in known}, **converted})


def _experts_by_block(values: dict) -> dict[int, tuple[int, ...]]:
    return {int(block): tuple(experts) for block, experts in values.items()}


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    members: dict[str, Any] = {name: arrays[name] for name in sorted(arrays)}  # Any: one could be savez's own option
    np.savez(buffer, **members)
    return buffer.getvalue()


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an .npz file. ValueError for whatever is wrong with it."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (
        Exception
    ) as error:  # numpy and zipfile let through what their parts raise: tokenize.TokenError, zlib.error, MemoryError
        raise ValueError(f"arrays cannot be read: {error!r}") from error
    if foreign := [name for name, value in arrays.items() if not isinstance(value, np.ndarray)]:
        raise ValueError(f"{foreign[0]} is no array")
    return arrays


def is_packed(architecture: Architecture, name: str) -> bool:
    """Whether a bundle stores the tensor with this name as moesaic.spec.int4 packs it, two weights in a byte."""
    return name.endswith(".weight") and architecture.weight_bits(name) == 4


def _packed(bundle: Bundle) -> dict[str, np.ndarray]:
    """The tensors in the form in which they are stored."""
    a = bundle.architecture
    return {name: pack_int4(value) if is_packed(a, name) else value for name, value in bundle.tensors.items()}


def _unpacked(
    stored: dict[str, np.ndarray], architecture: Architecture, tasks: dict[str, Task]
) -> dict[str, np.ndarray]:
    """The tensors as they were before packing. Names unknown to the architecture are left for `check_tensors`."""
    expected = expected_tensors(architecture, tasks)
    columns = {name: shape[1] for name, (shape, _) in expected.items() if is_packed(architecture, name)}
    return {name: unpack_int4(value, columns[name]) if name in columns else value for name, value in stored.items()}


def expected_tensors(architecture: Architecture, tasks: dict[str, Task]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name to (shape, dtype) of every tensor in a bundle with this architecture and these tasks; 4-bit weights unpacked, as int8."""
    a, every = architecture, pathways(tasks)
    expected: dict[str, tuple[tuple[int, ...], str]] = {"position": ((a.tokens, a.width), "int16")}

    def linear(name: str, outputs: int, inputs: int) -> None:
        expected[f"{name}.weight"] = ((outputs, inputs), "int8")
        expected[f"{name}.bias"] = ((outputs,), "int32")
        expected[f"{name}.multiplier"] = ((outputs,), "uint16")
        expected[f"{name}.shift"] = ((outputs,), "uint8")

    def norm(name: str) -> None:
        expected[f"{name}.gamma"] = expected[f"{name}.beta"] = ((a.width,), "int16")
        expected[f"{name}.shift"] = ((), "uint8")

    linear("patch_embed", a.width, a.patch * a.patch * 4)
    for i in range(a.depth):
        block = f"blocks.{i}"
        norm(f"{block}.norm1")
        norm(f"{block}.norm2")
        for name in ("query", "key", "value", "projection"):
            linear(f"{block}.{name}", a.width, a.width)
        expected[f"{block}.scores.multiplier"] = ((), "uint16")
        expected[f"{block}.scores.shift"] = expected[f"{block}.attention_shift"] = ((), "uint8")
        if i not in a.moe_blocks:
            linear(f"{block}.mlp.up", a.mlp_hidden, a.width)
            linear(f"{block}.mlp.down", a.width, a.mlp_hidden)
            expected[f"{block}.mlp.table"] = ((TABLE_ENTRIES,), "int8")
            continue
        expected[f"{block}.experts.table"] = ((TABLE_ENTRIES,), "int8")
        expected[f"{block}.score_shift"] = ((), "uint8")
        for name, task in every.items():
            if i in task.pathway:
                linear(f"{block}.router.{name}", len(task.pathway[i]), a.width)
        for e in sorted({e for task in every.values() for e in task.pathway.get(i, ())}):
            linear(f"{block}.experts.{e}.up", a.expert_hidden, a.width)
            linear(f"{block}.experts.{e}.down", a.width, a.expert_hidden)
    for name in dict.fromkeys(final_norm(name, task) for name, task in tasks.items()):
        norm(name)
    for name, task in tasks.items():
        if pools_first(task):
            expected[f"{pool(name)}.multiplier"], expected[f"{pool(name)}.shift"] = ((), "uint16"), ((), "uint8")
        for layer in head_layers(a, name, task):
            linear(layer.name, task.upscale * task.upscale * task.channels, a.width)
    return expected


def check_tensors(bundle: Bundle) -> None:
    """UserError if a tensor is missing, unknown, of another shape or dtype than the architecture says, or has a weight out of range.

    The error names the first such tensor.
    """
    expected = expected_tensors(bundle.architecture, bundle.tasks)
    for name in sorted(expected.keys() | bundle.tensors.keys()):
        if name not in bundle.tensors:
            raise UserError(f"bundle {bundle.name}: tensor {name} is missing; {_REMEDY}")
        if name not in expected:
            raise UserError(f"bundle {bundle.name}: tensor {name} is unknown to its architecture; {_REMEDY}")
        found = (bundle.tensors[name].shape, str(bundle.tensors[name].dtype))
        if found != expected[name]:
            raise UserError(
                f"bundle {bundle.name}: tensor {name} is {found}, the architecture says {expected[name]}; {_REMEDY}"
            )
        if name.endswith(".score_shift") and bundle.tensors[name] > SCORE_SHIFT_MAX:
            raise UserError(
                f"bundle {bundle.name}: tensor {name} is {bundle.tensors[name]}, at most {SCORE_SHIFT_MAX} is possible; {_REMEDY}"
            )
        greatest = NORM_SHIFT_MAX if f"{name.removesuffix('shift')}gamma" in expected else PARAMETER_SHIFT_MAX
        if name.endswith(".shift") and (shift := int(bundle.tensors[name].max(initial=0))) > greatest:
            raise UserError(
                f"bundle {bundle.name}: tensor {name} has a shift of {shift}, at most {greatest} is possible; {_REMEDY}"
            )
        top = INT4_MAX if is_packed(bundle.architecture, name) else 127
        if name.endswith(".weight") and bundle.tensors[name].min(initial=0) < -top:
            raise UserError(
                f"bundle {bundle.name}: tensor {name} has a weight of {-top - 1}, the range is {-top} to {top}; {_REMEDY}"
            )
