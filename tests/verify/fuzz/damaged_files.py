"""Damaged files of every kind that commands read, each through the command that reads it."""

from __future__ import annotations

import atexit
import io
import json
import os
import resource
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from moesaic.files import MANIFEST_HASH, manifest_sha256, sha256_of, write_file
from tests.verify.fuzz.byte_damage import (
    damaged_bytes,
    damaged_node,
    damaged_npy,
    damaged_png,
    damaged_safetensors,
    damaged_toml,
    damaged_zip,
)
from tests.verify.fuzz.choices import Choices
from tests.verify.fuzz.command_runs import run_command

Check = Callable[[bytes], str]
_MEMORY_BYTES = 6 << 30
"""Of the process: a file that asks for more memory than a small network needs fails, as on a full machine."""
_SEED = 1


class _Workplace:
    """A folder of this process. The commands' defaults lead nowhere else, and no executor but those named is taken."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="moesaic-fuzz-files-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        os.chdir(self.folder)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))

    def copy(self, folder: Path, name: str) -> Path:
        """A copy of a folder that a case may damage, in place of the one before."""
        target = self.folder / name
        shutil.rmtree(target, ignore_errors=True)
        return Path(shutil.copytree(folder, target))


def _bundle(place: _Workplace) -> Path:
    from tests.hls.networks import DENSE, tasks_of
    from tests.hls.random_bundle import random_bundle

    tasks = tasks_of(DENSE)
    name = next(iter(tasks))
    directory = place.folder / "sound-bundle"
    random_bundle(DENSE, {name: tasks[name]}, seed=_SEED).save(directory)
    return directory


def _build(place: _Workplace) -> Path:
    from moesaic.hls.compiler.generate import generate
    from moesaic.spec.bundle import load_bundle
    from moesaic.spec.configuration import load_configuration

    directory = place.folder / "sound-build"
    generate(load_bundle(_bundle(place)), load_configuration("tiny")).save(directory)
    return directory


def _damage_directory(directory: Path, manifest_name: str, choices: Choices, inside: dict[str, Callable]) -> None:
    """Damage one file of a directory with a manifest; mostly, the hashes are right again. inside: file to what damages it."""
    manifest = json.loads((directory / manifest_name).read_text())
    files = [name for name in manifest["files"] if "/" not in name]  # sources, which no command reads, lie in folders
    name = choices.one_of([manifest_name, manifest_name, *sorted(files), choices.one_of(sorted(manifest["files"]))])
    path = directory / name
    if choices.rarely(8):
        write_file(path, damaged_bytes(path.read_bytes(), choices))
        return
    if name == manifest_name:
        manifest = damaged_node(manifest, choices)
    else:
        content = inside.get(name, damaged_bytes)(path.read_bytes(), choices)
        write_file(path, content)
        manifest["files"][name] = sha256_of(content)
    if isinstance(manifest, dict):
        manifest[MANIFEST_HASH] = manifest_sha256(manifest)
    write_file(directory / manifest_name, json.dumps(manifest).encode())


def _damaged_tensors(data: bytes, choices: Choices) -> bytes:
    return damaged_zip(data, choices, damaged_npy)


def bundles() -> Check:
    """`moesaic generate`."""
    place = _Workplace()
    sound = _bundle(place)

    def check(data: bytes) -> str:
        directory = place.copy(sound, "bundle")
        inside = {"tensors.npz": _damaged_tensors, "golden.npz": _damaged_tensors}
        _damage_directory(directory, "bundle.json", Choices(data), inside)
        output = place.folder / "made" / "build"
        return run_command(["generate", directory, "--output", output], [output])

    return check


def _picture(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (20, 24, 3), np.uint8)


def builds() -> Check:
    """`moesaic run` on the reference machine."""
    from moesaic.host.png import encode_png

    place = _Workplace()
    sound, picture = _build(place), place.folder / "picture.png"
    picture.write_bytes(encode_png(_picture(np.random.default_rng(_SEED))))

    def check(data: bytes) -> str:
        directory = place.copy(sound, "build")
        _damage_directory(directory, "build.json", Choices(data), {})
        output = place.folder / "made" / "predictions"
        return run_command(["run", directory, picture, "--executor", "reference", "--output", output], [output])

    return check


def _ppm(image: np.ndarray) -> bytes:
    return b"P6\n# made\n%d %d\n255\n" % (image.shape[1], image.shape[0]) + image.tobytes()


def images() -> Check:
    """`moesaic run` on the reference machine: PNG and PPM with its own reader, others with Pillow."""
    from PIL import Image

    from moesaic.host.png import encode_png

    place = _Workplace()
    sound = _build(place)
    image = _picture(np.random.default_rng(_SEED))
    files = {".png": encode_png(image), ".ppm": _ppm(image)}
    for suffix in (".bmp", ".jpg", ".webp", ".gif", ".tiff"):
        made = io.BytesIO()
        Image.fromarray(image).save(made, suffix[1:].replace("jpg", "jpeg"))
        files[suffix] = made.getvalue()
    made = io.BytesIO()
    Image.fromarray(image).quantize(16).save(made, "png")
    files[".palette.png"] = made.getvalue()

    def check(data: bytes) -> str:
        choices = Choices(data)
        suffix = choices.one_of([".png", ".png", ".png", ".palette.png", ".ppm", *sorted(files)])
        png = suffix.endswith(".png") and not choices.rarely(4)
        content = (damaged_png if png else damaged_bytes)(files[suffix], choices)
        path = place.folder / f"picture{suffix}"
        path.write_bytes(content)
        output = place.folder / "made" / "predictions"
        try:
            return run_command(["run", sound, path, "--executor", "reference", "--output", output], [output])
        finally:
            path.unlink()

    return check


def recipes() -> Check:
    """`moesaic estimate`."""
    from importlib import resources

    place = _Workplace()
    text = (Path(str(resources.files("moesaic.model"))) / "recipes" / "demo.toml").read_text()

    def check(data: bytes) -> str:
        path = place.folder / "recipe.toml"
        path.write_text(damaged_toml(text, Choices(data)))
        output = place.folder / "made" / "figures.json"
        return run_command(["estimate", path, "--config", "tiny", "--size", "16x16", "--json", output], [output])

    return check


def checkpoints() -> Check:
    """`moesaic import` of .safetensors and .pth in timm's names, and `moesaic export --onnx-only` of our own."""
    import torch
    from safetensors.torch import save_file

    from tests.model.importing.test_plain_vit import HEADS, timm_state

    place = _Workplace()
    torch.set_num_threads(1)
    state = timm_state()
    tensors, pickled = place.folder / "sound.safetensors", place.folder / "sound.pth"
    save_file(state, tensors)
    torch.save({"model": state}, pickled)
    files = {".safetensors": tensors.read_bytes(), ".pth": pickled.read_bytes()}
    arguments = ["--format", "timm", "--heads", HEADS, "--size", "16x16"]

    def check(data: bytes) -> str:
        choices = Choices(data)
        suffix = choices.one_of(sorted(files))
        if suffix == ".safetensors":
            content = damaged_safetensors(files[suffix], choices, damaged_node)
        elif choices.rarely(4):
            content = damaged_bytes(files[suffix], choices)
        else:
            content = damaged_zip(files[suffix], choices)
        path, output = place.folder / f"source{suffix}", place.folder / "made" / "model.safetensors"
        path.write_bytes(content)
        return run_command(["import", path, *arguments, "--checkpoint", output], [output])

    return check


def onnx_graphs() -> Check:
    """`moesaic import` of an ONNX graph."""
    import onnx
    import torch

    from tests.model.importing.test_onnx import Outputs, export
    from tests.model.importing.test_transformers import network

    place = _Workplace()
    torch.set_num_threads(1)
    sound = export(Outputs(network("vit")), place.folder / "sound.onnx")
    data_of_sound = Path(sound).read_bytes()

    def check(data: bytes) -> str:
        choices = Choices(data)
        if choices.rarely(3):
            content = damaged_bytes(data_of_sound, choices)
        else:
            model = onnx.load_from_string(data_of_sound)
            _damage_graph(model, choices)
            content = model.SerializeToString()
        path, output = place.folder / "source.onnx", place.folder / "made" / "model.safetensors"
        path.write_bytes(content)
        return run_command(["import", path, "--features", "--checkpoint", output], [output])

    return check


def _damage_graph(model: Any, choices: Choices) -> None:
    """One or two fields of the messages of a graph change: names, operators, attributes, shapes, types, contents."""
    graph = model.graph
    for _ in range(1 + choices.below(2)):
        node = choices.one_of(graph.node)
        match choices.below(10):
            case 0:
                node.op_type = choices.one_of(
                    ["Add", "MatMul", "Identity", "Softmax", "Reshape", "Gemm", "", "Loop", node.op_type + "x"]
                )
            case 1:
                graph.node.remove(node)
            case 2 if node.input:
                node.input[choices.below(len(node.input))] = choices.one_of(
                    [other for n in graph.node for other in n.output] + [""]
                )
            case 3 if node.output:
                node.output[0] = choices.one_of([graph.node[0].output[0], "", "x"])
            case 4 if node.attribute:
                attribute = choices.one_of(node.attribute)
                attribute.type = choices.below(12)
                attribute.i = choices.one_of([0, -1, 1 << 40, -(1 << 62)])
                attribute.name = choices.one_of([attribute.name, attribute.name, "", "x"])
            case 5 if node.input:
                del node.input[choices.below(len(node.input)) :]
            case 6:
                tensor = choices.one_of(graph.initializer)
                if tensor.dims:
                    tensor.dims[choices.below(len(tensor.dims))] = choices.one_of([0, -1, 1, 3, 1 << 40])
            case 7:
                tensor = choices.one_of(graph.initializer)
                tensor.data_type = choices.below(24)
            case 8:
                tensor = choices.one_of(graph.initializer)
                tensor.raw_data = damaged_bytes(tensor.raw_data, choices)
            case _:
                dimension = choices.one_of(graph.input[0].type.tensor_type.shape.dim)
                if choices.below(2):
                    dimension.dim_value = choices.one_of([0, -1, 1, 1 << 40])
                else:
                    graph.node.insert(choices.below(len(graph.node)), node)


_CHECKS = {
    "bundles": bundles,
    "builds": builds,
    "images": images,
    "recipes": recipes,
    "checkpoints": checkpoints,
    "onnx": onnx_graphs,
}


def checker(kind: str) -> Check:
    """See moesaic's tests.verify.fuzz.batches.Kind; outcomes are "success" and "refused"."""
    return _CHECKS[kind]()
