"""What the C++ runtime reads: JSON, hashes and builds, against Python's readers."""

import hashlib
import json
import math

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.files import manifest_sha256
from moesaic.hls.compiler.generate import generate
from moesaic.spec.build import load_build
from moesaic.spec.configuration import load_configuration
from tests.hls.networks import NO_PREFIX, REGISTERS, token_tasks_of
from tests.hls.random_bundle import random_bundle
from tests.host.cpp.conftest import CppError

TEXTS = ["", "plain", 'quo"te\\', "line\nfeed\ttab\r\b\f", "\x00\x1f\x7f", "Grüße", "日本語", "𝄞 🙂", "/"]
FLOATS = [
    0.0,
    -0.0,
    1.0,
    0.1,
    1e-4,
    9.999e-5,
    1e15,
    1e16,
    123456789012345680.0,
    1e22,
    5e-324,
    1.7976931348623157e308,
    -2.5,
    1 / 3,
]
INTEGERS = [0, -1, 7, 2**63, -(2**70)]
MALFORMED = [
    "", "{", "[1,]", "[1 2]", "{'a': 1}", '{"a" 1}', '{"a": 1, "a": 2}', "01", "1.", "+1", ".5", "1e", "tru", '"', '"\x01"', '"\\x"',
    '"\\ud800"', '"\\ud800\\u0041"', "[" * 200 + "]" * 200, "1 1", "1e999", "{]", '{"a": }', "\ufeff{}",
]  # fmt: skip


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def seal(directory, change) -> None:
    """Change a manifest and make its own hash right again."""
    path = directory / "build.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest | {"sha256": manifest_sha256(manifest)}))


def test_json_is_read_and_written_as_python_does(driver, tmp_path):
    rng = np.random.default_rng(3)
    floats = FLOATS + [v for v in np.frombuffer(rng.bytes(8 * 3000), np.float64).tolist() if math.isfinite(v)]
    floats += [*rng.normal(0, 100, 300).round(3).tolist(), math.nan, math.inf, -math.inf]
    value = {"floats": floats, "integers": INTEGERS, "texts": TEXTS, "empty": [{}, []], "more": [True, False, None]}
    value |= {text: text for text in TEXTS} | {"nested": {"b": {"z": 1, "a": [[]]}, "ä": 0, "a": {}}}
    for number, text in enumerate(
        [json.dumps(value), json.dumps(value, indent=2, ensure_ascii=False), "-0", " 1.50e+01 ", '"\\/"']
    ):
        path = tmp_path / f"{number}.json"
        path.write_text(text)
        assert driver("json", path) == canonical(json.loads(text))


@pytest.mark.parametrize("text", MALFORMED)
def test_what_is_no_json_is_refused_with_its_place(driver, tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CppError, match=r"^no valid JSON at byte \d+: "):
        driver("json", tmp_path / "x.json")


def test_what_is_no_utf8_is_refused(driver, tmp_path):
    for wrong in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80"):
        (tmp_path / "x.json").write_bytes(b'"' + wrong + b'"')
        with pytest.raises(CppError, match=r"UTF-8|not closed"):
            driver("json", tmp_path / "x.json")


def test_sha256(driver, tmp_path):
    data = np.random.default_rng(1).bytes(300)
    for size in (0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 300):
        (tmp_path / "x").write_bytes(data[:size])
        assert driver("sha256", tmp_path / "x") == hashlib.sha256(data[:size]).hexdigest()


def described(build) -> str:
    """What the driver says of a build."""
    head = (build.name, build.fingerprint, build.image_height, build.image_width, build.image_offset, build.image_bytes,
            build.frame_bytes, build.constants.size, len(build.tags))  # fmt: skip
    lines = [" ".join(map(str, head))]
    for name, task in sorted(build.pathways.items()):
        values = (name, task.program.offset, task.program.size, task.output_offset, *task.output_shape, task.channels, task.kind,
                  f"{task.output_scale:.17g}", task.macs, task.pooling, *task.grid, len(task.class_names))  # fmt: skip
        lines.append(" ".join(map(str, values)))
    return ";".join(lines)


def test_a_build_is_read_as_python_reads_it(driver, saved_build):
    assert driver("load", saved_build) == described(load_build(saved_build))


@pytest.mark.parametrize("architecture", [REGISTERS, NO_PREFIX], ids=["padded-patches", "no-prefix"])
def test_builds_with_token_tasks(driver, tmp_path, architecture):
    bundle = random_bundle(architecture, token_tasks_of(architecture), seed=2)
    generate(bundle, load_configuration("tiny")).save(tmp_path / "build")
    assert driver("load", tmp_path / "build") == described(load_build(tmp_path / "build"))


def truncate(directory):
    constants = directory / "constants.bin"
    constants.write_bytes(constants.read_bytes()[:-16])


def flip(directory):
    path = directory / "rtl" / "moesaic_control.sv"
    path.write_bytes(path.read_bytes() + b"\n")


def put(*path_and_value):
    """A change of one entry of the manifest."""
    *path, last, value = path_and_value

    def change(manifest):
        for name in path:
            manifest = manifest[name]
        manifest[last] = value

    return lambda directory: seal(directory, change)


def drop(*path):
    def change(manifest):
        for name in path[:-1]:
            manifest = manifest[name]
        del manifest[path[-1]]

    return lambda directory: seal(directory, change)


def edit(directory):
    path = directory / "build.json"
    path.write_text(path.read_text().replace('"frame_bytes": ', '"frame_bytes": 1'))


DAMAGED = {
    "no manifest": (lambda d: (d / "build.json").unlink(), r"is no moesaic build: build\.json is missing"),
    "cut manifest": (lambda d: (d / "build.json").write_text('{"format": "moesaic'), r"cannot be read \(no valid JSON at byte 19: "),
    "list": (lambda d: (d / "build.json").write_text("[]"), r"has format null in version null, this program reads \"moesaic build\""),
    "cut constants": (truncate, r"constants\.bin is altered: SHA-256 [0-9a-f]{64} where the manifest has "),
    "changed source": (flip, r"moesaic_control\.sv is altered"),
    "missing file": (lambda d: (d / "constants.bin").unlink(), r"constants\.bin is missing"),
    "edited": (edit, r"build\.json is altered: SHA-256 [0-9a-f]{64} where \"[0-9a-f]{64}\" was written"),
    "other format": (put("format", "moesaic bundle"), r"has format \"moesaic bundle\" in version 1"),
    "later version": (put("version", 2), r"in version 2, this program reads \"moesaic build\" in version 1"),
    "version as text": (put("version", "1"), r"in version \"1\", this program"),
    "fingerprint": (put("fingerprint", "0123456789abcdef"), r"fingerprint 0123456789abcdef but its configuration has [0-9a-f]{16}"),
    "configuration": (put("configuration", "tile_rows", 5), r"fingerprint [0-9a-f]{16} but its configuration has [0-9a-f]{16}"),
    "no size": (drop("configuration", "tile_rows"), r'configuration has no entry "tile_rows"'),
    "more sizes": (put("configuration", "lanes", 5), r'configuration has an unknown entry "lanes"'),
    "no files": (put("files", []), "lists no files"),
    "no constants": (drop("files", "constants.bin"), "constants.bin is not among its files"),
    "no tasks": (put("tasks", {}), "it has no task"),
    "task as list": (put("tasks", "depth", []), r"task depth is \[\], not a table"),
    "unknown entry": (put("tasks", "depth", "colour", 1), 'task depth has an unknown entry "colour"'),
    "no program": (drop("tasks", "depth", "program"), 'task depth has no entry "program"'),
    "program outside": (put("tasks", "depth", "program", "offset", 10**9), "program of task depth, .* does not lie within the"),
    "program of nothing": (put("tasks", "depth", "program", "size", 0), "program of task depth, 0 bytes at"),
    "negative": (put("tasks", "depth", "program", "offset", -64), "program.offset is -64, not an integer from 0 to 4294967295"),
    "real offset": (put("tasks", "depth", "output_offset", 1.5), r"output_offset is 1\.5, not an integer"),
    "output outside": (put("tasks", "depth", "output_shape", [2**31, 2**31, 2**31]), "the output of task depth, .* does not lie"),
    "two sides": (put("tasks", "depth", "output_shape", [4, 4]), "output_shape has 2 sides, not 3"),
    "channels": (put("tasks", "depth", "channels", 99), "task depth has 99 of"),
    "kind": (put("tasks", "depth", "kind", "flow"), 'task depth: kind "flow" is none of segmentation, '),
    "pooling": (put("tasks", "depth", "pooling", "mean"), 'pooling "mean" does not suit kind depth'),
    "grid": (put("tasks", "depth", "grid", [2, 2]), "a grid of 2x2 patches does not suit kind depth"),
    "scale": (put("tasks", "depth", "output_scale", "big"), 'output_scale is "big", not a finite number'),
    "normals": (put("tasks", "normals", "channels", 2), "of kind normals has 2 channels, it needs 3"),
    "alternative": (put("tasks", "depth", "alternatives", {"a b": {}}), 'alternative "a b" is not named by letters'),
    "axes": (put("tasks", "normals", "output", {"axes": ["right", "left", "away"]}), "name each of right, down, away"),
    "encoding": (put("tasks", "depth", "output", {"encoding": "root"}), 'encoding is "root": choose log, linear'),
    "unit": (put("tasks", "depth", "output", {"unit": -1}), "unit is -1, it must be a number of metres"),
    "image outside": (put("image", "offset", 2**31), "the image, .* does not lie within"),
    "image height": (put("image", "height", 0), "image.height is 0, not an integer from 1 to 16384"),
    "patches": (put("image", {"height": 32, "width": 32, "offset": 0, "patch": 5, "pitch": 8}), "is not made of runs of 5"),
    "frame": (put("frame_bytes", 2**32), "frame_bytes is 4294967296, not an integer from"),
    "resize": (put("input", {"resize": "squash"}), 'input.resize is "squash": choose auto, crop, pad, stretch'),
    "crop ratio": (put("input", {"crop_ratio": 0.5}), "set input.resize to crop or stretch, not auto"),
    "no ratio": (put("input", {"crop_ratio": 0, "resize": "crop"}), "input.crop_ratio is 0, it must be above 0"),
    "deviation": (put("input", {"deviation": [1, 0, 1]}), r"input.deviation is \[1,0,1\], each must be above 0"),
    "colour": (put("input", {"pad_colour": [1, 2, 256]}), "input.pad_colour is 256, not an integer from 0 to 255"),
    "tags": (put("tags", [1]), "tags is 1, not a text"),
    "report": (put("report", []), r"report is \[\], not a table"),
    "more": (put("surprise", 1), 'it has an unknown entry "surprise"'),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_build_is_refused_in_one_line(driver, own_build, name):
    damage, message = DAMAGED[name]
    damage(own_build)
    with pytest.raises(CppError, match=message) as caught:
        driver("load", own_build)
    text = str(caught.value)
    assert str(own_build) in text and (
        "make it again with `moesaic generate`" in text or "one version of moesaic" in text
    )
    assert caught.value.kind == "Error"


@pytest.mark.parametrize("name", DAMAGED)
def test_python_refuses_the_same(own_build, name):
    """The two runtimes are equally strict."""
    DAMAGED[name][0](own_build)
    with pytest.raises(UserError):
        load_build(own_build)
