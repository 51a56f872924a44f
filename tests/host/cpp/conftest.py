"""The C++ runtime, compiled with sanitizers, and a driver program that tests talk to."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import CACHE
from tests.host.cpp.devices import Bridge, FakeFiles, Model, needed

TESTS = Path(__file__).parent
SOURCE = TESTS.parents[2] / "host" / "cpp"
WARNINGS = "-Wall -Wextra -Werror -Wconversion -Wshadow"
SANITIZERS = {"address": "-fsanitize=address,undefined -fno-sanitize-recover=all", "thread": "-fsanitize=thread"}


def cmake() -> str:
    """The program; it belongs to the extra `test`, so setup brings it along where the system has none."""
    found = shutil.which("cmake", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert found, "cmake is missing: the C++ runtime is built with it; get it with: pip install cmake"
    return found


def run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def compiled(sanitizer: str) -> Path:
    """The folder of driver and moesaic_frames with a sanitizer; equal sources are compiled once."""
    flags = f"-O1 -g {WARNINGS} {SANITIZERS[sanitizer]}"
    digest = hashlib.sha256(f"{flags}\n{run('g++', '--version')}".encode())
    for path in sorted(path for root in (SOURCE, TESTS) for path in root.rglob("*") if path.is_file()):
        if path.suffix in (".cpp", ".hpp", ".txt", ".in"):
            digest.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    final = CACHE / "moesaic" / "cpp-runtime" / digest.hexdigest()[:16]
    if not final.is_dir():
        final.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=".") as scratch:
            build, staged = Path(scratch) / "build", Path(scratch) / "staged"
            run(cmake(), "-S", TESTS, "-B", build, f"-DCMAKE_CXX_FLAGS={flags}", "-DCMAKE_BUILD_TYPE=None")
            run(cmake(), "--build", build, "--parallel", "2")
            staged.mkdir()
            for program in (build / "driver", build / "moesaic" / "moesaic_frames"):
                shutil.move(program, staged / program.name)
            try:
                staged.rename(final)
            except OSError:
                assert final.is_dir()  # another process has made the same in the meantime
    return final


class CppError(Exception):
    """An exception of the runtime. kind: its class, "Error" or "Fault"."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Driver:
    """A running driver. A failing sanitizer ends it, and its report is the test's failure."""

    def __init__(self, program: Path, pass_fds: tuple[int, ...] = ()) -> None:
        self._process = subprocess.Popen(
            [str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=pass_fds,
        )

    def __call__(self, *words: object) -> str:
        """Have a command obeyed and return the answer. CppError for an exception of the runtime."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(" ".join(map(str, words)) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer.endswith("\n"), f"{answer!r}, then the driver died:\n{self._process.stderr.read()}"
        state, _, rest = answer[:-1].partition(" ")
        if state == "error":
            raise CppError(*rest.split(" ", 1))
        assert state == "ok"
        return rest

    def end(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        report = self._process.stderr.read()
        assert self._process.wait(60) == 0 and report == "", report
        self._process.stdout.close()
        self._process.stderr.close()


@pytest.fixture(scope="session")
def programs() -> Path:
    return compiled("address")


@pytest.fixture
def driver(programs) -> Iterator[Driver]:
    driver = Driver(programs / "driver")
    yield driver
    driver.end()


class Folder:
    """Files that go to and come from the driver."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def image(self, image: np.ndarray, row_bytes: int = 0, order: str = "rgb") -> str:
        """Write an image, uint8 (height, width, 3); the words that tell the driver of it."""
        height, width, _ = image.shape
        rows = image[..., ::-1] if order == "bgr" else image
        rows = rows.reshape(height, 3 * width)
        if row_bytes:
            rows = np.pad(rows, ((0, 0), (0, row_bytes - 3 * width)), constant_values=0xEE)
        path = self.path / "image.rgb"
        np.ascontiguousarray(rows).tofile(path)
        return f"{path} {height} {width} {row_bytes} {order}"

    def bytes(self, name: str, dtype: type = np.uint8) -> np.ndarray:
        return np.fromfile(self.path / name, dtype)


@pytest.fixture
def folder(tmp_path) -> Folder:
    (tmp_path / "files").mkdir()
    return Folder(tmp_path / "files")


class Opened:
    """A driver with a device at the other end of its sockets."""

    def __init__(self, programs, files: FakeFiles, bridge: Bridge, directory) -> None:
        self.bridge, self.files = bridge, files
        self.driver = Driver(programs / "driver", tuple(fd for fd in bridge.descriptors if fd >= 0))
        self.driver("load", directory)

    def open(self, *options: object) -> str:
        """Open the device; options: TIMEOUT_MS MAX_CYCLES. How runs wait: "interrupt" or "polling"."""
        return self.driver("socket", *self.bridge.descriptors, self.files.udmabuf, self.files.attributes, *options)

    def end(self) -> None:
        self.driver("close")
        self.driver.end()
        self.bridge.handed_over()
        self.bridge.join()


@pytest.fixture
def device_files(build, tmp_path) -> FakeFiles:
    """Memory for the build, and what else belongs to a device."""
    return FakeFiles(tmp_path / "device", needed(build))


@pytest.fixture
def connect(programs, device_files, saved_build) -> Iterator[Callable[..., Opened]]:
    """Returns a function that connects a driver with a model; what it returns is ended after the test."""
    opened: list[Opened] = []

    def make(model: Model, **options) -> Opened:
        opened.append(Opened(programs, device_files, Bridge(model, **options), saved_build))
        return opened[-1]

    yield make
    for one in opened:
        one.end()
