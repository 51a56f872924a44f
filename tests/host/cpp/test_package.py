"""The library as a CMake package, the example program, and what belongs to both."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tomllib

import moesaic
from moesaic.emulator import compile_emulator
from tests.host.cpp.conftest import SOURCE, cmake, run

APPLICATION = """
#include <iostream>
#include <moesaic/moesaic.hpp>

int main(int, char** words) {
  try {
    std::cout << moesaic::Build::load(words[1]).fingerprint << std::endl;
  } catch (const moesaic::Error& error) {
    std::cout << "refused: " << error.what() << std::endl;
  }
}
"""
LISTS = """
cmake_minimum_required(VERSION 3.16)
project(application LANGUAGES CXX)
find_package(moesaic 0.1 REQUIRED)
add_executable(application application.cpp)
target_link_libraries(application PRIVATE moesaic::moesaic)
"""


def test_an_application_finds_the_installed_package(tmp_path, saved_build, build):
    built, prefix, application = tmp_path / "built", tmp_path / "prefix", tmp_path / "application"
    run(
        cmake(),
        "-S",
        SOURCE,
        "-B",
        built,
        "-DCMAKE_BUILD_TYPE=Debug",
        "-DBUILD_SHARED_LIBS=ON",
        "-DCMAKE_INSTALL_LIBDIR=lib",
    )
    run(cmake(), "--build", built, "--parallel", "2")
    run(cmake(), "--install", built, "--prefix", prefix)
    application.mkdir()
    (application / "application.cpp").write_text(APPLICATION)
    (application / "CMakeLists.txt").write_text(LISTS)
    run(
        cmake(),
        "-S",
        application,
        "-B",
        application / "built",
        f"-DCMAKE_PREFIX_PATH={prefix}",
        "-DCMAKE_BUILD_TYPE=Debug",
    )
    run(cmake(), "--build", application / "built")
    program = application / "built" / "application"
    assert run(program, saved_build) == f"{build.fingerprint}\n"
    assert run(program, tmp_path).startswith(f"refused: {tmp_path} is no moesaic build")
    headers = [path.name for path in (prefix / "include").rglob("*") if path.is_file()]
    assert headers == ["moesaic.hpp"], "one header"


def test_version_of_the_package():
    project = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text())["project"]
    assert f"project(moesaic VERSION {project['version']} " in (SOURCE / "CMakeLists.txt").read_text()


def test_nothing_but_the_standard_library_and_posix():
    posix = {"dlfcn.h", "fcntl.h", "poll.h", "sys/file.h", "sys/mman.h", "sys/stat.h", "unistd.h"}
    for path in (*SOURCE.rglob("*.cpp"), *SOURCE.rglob("*.hpp")):
        for name in re.findall(r"#include <(.*)>", path.read_text()):
            assert "." not in name or name in posix, f"{path.name} includes {name}"


@pytest.fixture
def frames(programs, saved_build):
    """Returns a function that runs the example on the emulator: (exit code, bytes, messages)."""
    library = compile_emulator(saved_build / "cpp")

    def call(*words: object, given: bytes = b"", device: tuple = ("--emulator", library)) -> tuple[int, bytes, str]:
        command = [str(word) for word in (programs / "moesaic_frames", saved_build, *words, *device)]
        done = subprocess.run(command, input=given, capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr.decode()

    return call


def predictions(directory: Path, images, tasks) -> bytes:
    with moesaic.open(directory, "reference") as reference:
        return b"".join(reference.run(image, task).decoded.tobytes() for image in images for task in tasks)


def nearly_equal(found: bytes, expected: bytes) -> bool:
    """float32 within one unit in the last place."""
    np.testing.assert_array_max_ulp(np.frombuffer(found, np.float32), np.frombuffer(expected, np.float32), 1)
    return True


def test_the_example_on_frames_from_a_pipe(frames, saved_build, image):
    images = [image, 255 - image]
    height, width, _ = image.shape
    code, found, messages = frames(
        "segmentation", "--size", f"{width}x{height}", given=b"".join(i.tobytes() for i in images)
    )
    assert (code, found) == (0, predictions(saved_build, images, ["segmentation"]))
    assert re.fullmatch(r"(frame [01] segmentation: 16x16 uint8, \d+ us\n){2}", messages)
    padded = np.pad(image[..., ::-1].reshape(height, -1), ((0, 0), (0, 200 - 3 * width))).tobytes()
    code, found, _ = frames("depth", "--size", f"{width}x{height}", "--row-bytes", 200, "--bgr", given=padded)
    assert code == 0 and nearly_equal(found, predictions(saved_build, [image], ["depth"]))


def test_the_example_on_pictures(frames, saved_build, image, tmp_path):
    height, width, _ = image.shape
    (tmp_path / "a.ppm").write_bytes(b"P6\n# a comment\n%d %d\n255\n" % (width, height) + image.tobytes())
    code, found, messages = frames("depth,normals", tmp_path / "a.ppm")
    assert code == 0 and nearly_equal(found, predictions(saved_build, [image], ["depth", "normals"]))
    assert "frame 0 normals: 32x32x3 float32" in messages


def test_what_the_example_cannot_do_is_one_line(frames, tmp_path):
    (tmp_path / "cut.ppm").write_bytes(b"P6 4 4 255 123")
    (tmp_path / "deep.ppm").write_bytes(b"P6 4 4 65535 123")
    (tmp_path / "grey.ppm").write_bytes(b"P5 4 4 255 123")
    for words, given, message in [
        (["depth"], b"", "frames come either from pictures or, with --size, from standard input"),
        (["flow", "--size", "4x4"], b"", 'unknown task "flow"; build '),
        (["depth", "--size", "4"], b"", "--size is 4, not WIDTHxHEIGHT"),
        (["depth", "--size", "4xfour"], b"", "'four' is no number"),
        (["depth", "--size", "4x4"], bytes(50), "standard input ended after 2 of a frame's 48 bytes"),
        (["depth", "--size", "4x4", "--row-bytes", "11"], bytes(44), "rows of 11 bytes, 4 pixels take 12"),
        (["depth", "--gpu"], b"", "unknown option --gpu"),
        (["depth", tmp_path / "none.ppm"], b"", "none.ppm cannot be read"),
        (["depth", tmp_path / "cut.ppm"], b"", "has 3 bytes of pixels, it needs 48"),
        (["depth", tmp_path / "deep.ppm"], b"", "has values up to 65535, 8 bits reach 255"),
        (["depth", tmp_path / "grey.ppm"], b"", "is no binary PPM"),
    ]:
        code, _, messages = frames(*words, given=given)
        *_, line = messages.splitlines()
        assert code == 2 and line.startswith("moesaic_frames: ") and message in line, messages
    code, _, messages = frames(
        "depth", "--size", "4x4", device=("--uio", tmp_path / "uio7", "--lock-file", tmp_path / "lock")
    )
    assert code == 2 and len(messages.splitlines()) == 1 and "uio7/maps/map0/offset cannot be read" in messages
