"""What the fuzz campaigns found, each by the smallest input that shows it. Programs are in tests/sim/test_instructions.py."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from moesaic.command_line import main
from moesaic.files import MANIFEST_HASH, manifest_sha256, sha256_of
from tests.hls.networks import DENSE, tasks_of
from tests.hls.random_bundle import random_bundle
from tests.verify.fuzz.batch_process import check_case
from tests.verify.fuzz.batches import KINDS


@pytest.fixture
def bundle(tmp_path) -> Path:
    name, task = next(iter(tasks_of(DENSE).items()))
    random_bundle(DENSE, {name: task}, seed=1).save(tmp_path / "bundle")
    return tmp_path / "bundle"


def with_member(bundle: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change one member of a bundle's tensors, so that every hash is right."""
    path = bundle / "tensors.npz"
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members[name] = change(members[name])
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    path.write_bytes(made.getvalue())
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest["files"]["tensors.npz"] = sha256_of(made.getvalue())
    manifest[MANIFEST_HASH] = manifest_sha256(manifest)
    (bundle / "bundle.json").write_text(json.dumps(manifest))


def refused(words: list, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of error of a command that must fail."""
    assert main([str(word) for word in words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]


def test_a_header_of_an_array_that_python_cannot_tokenise(bundle, tmp_path, capsys):
    with_member(bundle, "position.npy", lambda data: data.replace(b")", b" ", 1))
    said = refused(["generate", bundle, "--output", tmp_path / "build"], capsys)
    assert "arrays cannot be read" in said and not (tmp_path / "build").exists()


def test_a_member_of_the_tensors_that_is_no_array(bundle, tmp_path, capsys):
    with_member(bundle, "position.npy", lambda _: b"x")
    assert "position is no array" in refused(["generate", bundle, "--output", tmp_path / "build"], capsys)


def npy(value: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.save(made, value)
    return made.getvalue()


@pytest.mark.parametrize(("name", "greatest"), [("norm.shift", 31), ("patch_embed.shift", 63)])
def test_a_shift_that_no_machine_takes(bundle, tmp_path, capsys, name, greatest):
    shape = () if name == "norm.shift" else (DENSE.width,)
    command = ["generate", bundle, "--output", tmp_path / "build"]
    with_member(bundle, f"{name}.npy", lambda _: npy(np.full(shape, greatest + 1, np.uint8)))
    assert f"{name} has a shift of {greatest + 1}, at most {greatest}" in refused(command, capsys)
    with_member(bundle, f"{name}.npy", lambda _: npy(np.full(shape, greatest, np.uint8)))
    assert main([str(word) for word in command]) == 0


def test_a_recipe_larger_than_numpy_counts(tmp_path, capsys):
    path, width = tmp_path / "huge.toml", "mlp_hidden"
    demo = (Path(str(resources.files("moesaic.model"))) / "recipes" / "demo.toml").read_text()
    path.write_text(re.sub(rf"^{width} = \d+$", f"{width} = {(1 << 63) - 1}", demo, flags=re.MULTILINE))
    assert "more than any memory holds" in refused(["estimate", path, "--config", "tiny"], capsys)


@pytest.mark.parametrize("content", [b".", b"J", b"h\0."], ids=["IndexError", "struct.error", "KeyError"])
def test_a_checkpoint_whose_pickle_breaks_off(tmp_path, capsys, content):
    path = tmp_path / "damaged.pth"
    path.write_bytes(content)
    said = refused(["import", path, "--format", "timm", "--checkpoint", tmp_path / "made.safetensors"], capsys)
    assert f"checkpoint {path} cannot be read as tensors alone" in said and not (tmp_path / "made.safetensors").exists()


@pytest.mark.parametrize("entry", ["experts", "depth"])
def test_a_recipe_with_more_parts_than_memory_has_room_for_their_names(tmp_path, capsys, entry):
    path = tmp_path / "huge.toml"
    demo = (Path(str(resources.files("moesaic.model"))) / "recipes" / "demo.toml").read_text()
    path.write_text(re.sub(rf"^{entry} = \d+$", f"{entry} = {10**12}", demo, flags=re.MULTILINE))
    said = refused(["estimate", path, "--config", "tiny"], capsys)
    assert f"{entry} ({10**12}) is above 4096" in said


@pytest.mark.parametrize("end", [b"!", b","], ids=["IndexError", "struct.error"])
def test_an_animation_that_ends_in_the_head_of_a_block(bundle, tmp_path, capsys, end):
    build = tmp_path / "build"
    assert main(["generate", str(bundle), "--output", str(build)]) == 0
    capsys.readouterr()
    picture = tmp_path / "picture.gif"
    canvas, pixels = struct.pack("<HHBBB6x", 4, 4, 0x80, 0, 0), bytes.fromhex("08090001081c48b020808000")
    picture.write_bytes(b"GIF87a" + canvas + b"," + struct.pack("<HHHHB", 0, 0, 4, 4, 0) + pixels + end)
    words = ["run", build, picture, "--executor", "reference", "--output", tmp_path / "predictions"]
    assert "it is damaged" in refused(words, capsys)


def test_an_error_stays_in_one_line_whatever_a_file_says(bundle, tmp_path, capsys):
    """The checksum of a chunk of PNG whose name has a carriage return is wrong."""
    build = tmp_path / "build"
    assert main(["generate", str(bundle), "--output", str(build)]) == 0
    capsys.readouterr()
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0" + b"\rHDR" + b"\0\0\0\0")
    words = ["run", build, picture, "--executor", "reference", "--output", tmp_path / "predictions"]
    assert r"its \rHDR chunk is damaged" in refused(words, capsys)


def test_a_half_precision_tensor_of_another_size_than_it_says(tmp_path, capsys):
    onnx = pytest.importorskip("onnx", reason="pip install onnx")
    tensor = onnx.TensorProto(name="weight", data_type=onnx.TensorProto.FLOAT16, dims=[2], raw_data=b"\0\0")
    node = onnx.helper.make_node("Identity", ["image"], ["result"])
    value = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    graph = onnx.helper.make_graph([node], "graph", [value], [value], [tensor])
    path = tmp_path / "network.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    said = refused(["import", path, "--features", "--checkpoint", tmp_path / "made.safetensors"], capsys)
    assert "tensor weight is damaged" in said


@pytest.mark.slow
def test_two_products_that_write_a_shared_byte_by_addresses_of_both_memories() -> None:
    """The activation memory is written two cycles sooner than its lowest bytes by way of the weight memory: the later product must wait."""
    data = bytes.fromhex(
        "0000000000040001000000000000000000000000000000000000000000000000000000020100000000000000000000000000"
        "000000000000000000000001000000023e0000000000000000000000000000000000000000000000000001000000027c3e00"
        "000002000000000300000000000000120000000000ab0000000201010000000000000000031a000000000000000000000000"
        "001f"
    )
    assert check_case("rtl-programs", data.ljust(KINDS["rtl-programs"].case_bytes, b"\0"))
