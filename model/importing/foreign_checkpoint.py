"""Another program's checkpoint: its weights are read without executing anything in the file, then taken one by one by name."""

import json
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from moesaic.errors import UserError
from moesaic.files import refuse_lfs_pointer
from moesaic.model.network.finite import require_finite

_SUFFIXES = (".pth", ".pt", ".bin", ".tar")
_WRAPPERS = ("state_dict", "model", "teacher")  # entries under which programs save a state dict
_HARMLESS = [
    Namespace,
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((np.empty(0).__reduce__()[0], f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *(np.ndarray, np.dtype, *(type(np.dtype(kind)) for kind in ("bool", "int32", "int64", "float32", "float64"))),
]
"""What training scripts store beside the weights: their arguments, and results in NumPy's numbers and arrays of NumPy 1 and 2."""
_WHOLE_MODELS = ("model.safetensors", "pytorch_model.bin")  # transformers' file names in a model directory
PREPROCESSOR, CONFIGURATION = "preprocessor_config.json", "config.json"
_SETTINGS = (PREPROCESSOR, CONFIGURATION)
_NUMBER = re.compile(r"\d+")
_REFUSED = re.compile(r"Unsupported global: GLOBAL (\S+)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_EXPERTS = re.compile(r"\.mlp\.experts\.(htoh4|h4toh)\.(weight|bias)$")


class ForeignCheckpoint:
    """A checkpoint's weights by name, each of which is to be taken once.

    settings: the merged entries of transformers' config.json and preprocessor_config.json beside the file, as far as they exist.
    """

    def __init__(self, path: str | Path, tensors: dict[str, Tensor], settings: dict | None = None) -> None:
        self.path, self.tensors, self.settings = path, dict(tensors), settings or {}
        self._kinds = {_kind(name) for name in tensors}

    def rename(self, new_name: Callable[[str], str]) -> None:
        """Rename every weight to what `new_name` returns for its current name."""
        self.tensors = {new_name(name): value for name, value in self.tensors.items()}
        self._kinds = {_kind(name) for name in self.tensors}

    def take(self, name: str, *shape: int | None) -> Tensor:
        """Remove and return the tensor called `name`, as float32, or in its own dtype if it is a scalar.

        shape: expected lengths, None for any. UserError if the tensor is missing, has another shape or is not floating-point.
        """
        if name not in self.tensors:
            raise UserError(f"{self.path}: weight {name} is missing; the checkpoint is of another kind or incomplete")
        value = self.tensors.pop(name)
        if value.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, value.shape)):
            wanted = "x".join("any" if n is None else str(n) for n in shape) or "a number"
            found = "x".join(map(str, value.shape)) or "a number"
            raise UserError(
                f"{self.path}: weight {name} is {found}, the recipe says {wanted}: choose a recipe that fits"
            )
        if value.ndim and not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise UserError(
                f"{self.path}: weight {name} is {kind}, not floating-point: take weights that are not quantised"
            )
        return value.float() if value.ndim else value

    def take_or_zeros(self, name: str, length: int) -> Tensor:
        """Take the vector called `name`, float32 [length], or zeros if no layer of its kind has one, as in networks without biases.

        UserError as in `take`, also if the other layers of its kind have one.
        """
        if name not in self.tensors and _kind(name) not in self._kinds:
            return torch.zeros(length)
        return self.take(name, length)

    def drop(self, *prefixes: str) -> None:
        """Remove every weight whose name starts with one of the prefixes."""
        self.tensors = {name: value for name, value in self.tensors.items() if not name.startswith(prefixes)}

    def finish(self) -> None:
        """Raise UserError, which names the first weight left, if any was not taken."""
        for name, value in self.tensors.items():
            shape = "x".join(map(str, value.shape))
            raise UserError(
                f"{self.path}: weight {name} ({shape}) has no place in the recipe's model: choose one that fits"
            )


def _kind(name: str) -> str:
    """The name with its numbers, such as those of blocks, replaced by #."""
    return _NUMBER.sub("#", name)


def read_foreign_checkpoint(path: Path) -> ForeignCheckpoint:
    """The weights in a .safetensors or PyTorch file, a transformers model directory, or a directory of files per rank.

    The last holds 0.pth, 1.pth, ..., each with one rank's experts. Nothing in a file is executed. The prefix "module." of
    data-parallel training and "_orig_mod." of torch.compile are removed. UserError if a file is missing,
    damaged or of another kind, if the ranks are not complete, or
    if a weight is not finite.
    """
    if path.is_dir():
        whole = [path / name for name in _WHOLE_MODELS if (path / name).is_file()]
        if not whole:
            return _checked(ForeignCheckpoint(path, _without_prefix(_merged_ranks(path))))
        path = whole[0]
    settings = {}
    for name in _SETTINGS:
        settings |= read_settings(path.parent / name)
    return _checked(ForeignCheckpoint(path, _without_prefix(_read_file(path)), settings))


def _checked(source: ForeignCheckpoint) -> ForeignCheckpoint:
    """The source itself, if all its weights are finite; UserError names the first that is not."""
    require_finite(source.tensors, f"checkpoint {source.path}", "take another copy or an earlier epoch")
    return source


def read_settings(path: Path) -> dict:
    """The entries of a settings file; empty if the file does not exist or is not a JSON object."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without what data-parallel training puts before names, and torch.compile before those of the modules that it compiled."""
    return {name.replace("_orig_mod.", "").removeprefix("module."): value for name, value in tensors.items()}


def _read_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist: name a .safetensors or .pth file, or a directory of ranks")
    refuse_lfs_pointer(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix not in _SUFFIXES:
            raise UserError(f"checkpoint {path} is none of .safetensors, {', '.join(_SUFFIXES)}: convert or rename it")
        with torch.serialization.safe_globals(_HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # the unpickler takes no care of what a damaged file makes of its stack
        text = _COLOURS.sub("", str(error)).strip()
        refused = _REFUSED.search(text)
        reason = f"it holds {refused[1]}" if refused else text.splitlines()[0][:120] if text else type(error).__name__
        remedy = "save its state dict as .safetensors" if refused else "take another copy"
        raise UserError(f"checkpoint {path} cannot be read as tensors alone ({reason}): {remedy}") from None
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise UserError(f"checkpoint {path} holds no state dict: save the model's state_dict() and name that file")
    return content


def _merged_ranks(directory: Path) -> dict[str, Tensor]:
    """Rank 0's weights with the experts of all ranks: the other ranks' files count only for experts, numbered in order of rank."""
    files = sorted(directory.glob("*.pth"), key=lambda file: (len(file.stem), file.stem))
    wanted = [f"{rank}.pth" for rank in range(max(1, len(files)))]
    if [file.name for file in files] != wanted:
        found = ", ".join(file.name for file in files) or "no .pth file"
        raise UserError(
            f"checkpoint {directory} has {found}; the ranks of a run are {', '.join(wanted)}: add what is missing"
        )
    ranks = [_read_file(file) for file in files]
    merged = ranks[0]
    experts = [name for name in merged if _EXPERTS.search(name)]
    for file, rank in zip(files[1:], ranks[1:]):
        for name in experts:
            if name not in rank or rank[name].shape != merged[name].shape:
                shape = tuple(rank[name].shape) if name in rank else "missing"
                raise UserError(
                    f"{file}: weight {name} is {shape}, in 0.pth {tuple(merged[name].shape)}: take one run's files"
                )
    return merged | {name: torch.cat([rank[name] for rank in ranks]) for name in experts}
