"""C++ that g++ compiles on this machine into a shared library, kept under a hash of what it was made from."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from moesaic.errors import InternalError, UserError
from moesaic.files import writing

_LOG_TAIL_LINES = 20
DISK_FULL = "No space left on device"
"""What compilers print when it is."""


def compile_library(name: str, entry: Path, included: Sequence[Path], flags: Sequence[str], cache: Path) -> Path:
    """Compile `entry`, which may include the files `included` of its own folder, and return the path of the shared library.

    name: what the library is called in file names and errors. flags: of g++. cache: an existing or new directory; equal sources,
    flags, compilers and, if the flags ask for it, processors compile once, so that machines may share it.

    Raises UserError if the compiler is missing or the cache cannot be written, InternalError if the sources do not compile.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        raise UserError(f"g++ is missing: the {name} is compiled with it; install it with: apt-get install g++")
    about = [
        subprocess.run([compiler, *question], capture_output=True, check=False).stdout
        for question in (("--version",), (*flags, "-Q", "--help=target"))
    ]
    digest = hashlib.sha256(repr((about, tuple(flags))).encode())
    for path in sorted({entry, *included}):
        digest.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    library = cache / f"{name}-{digest.hexdigest()[:16]}.so"
    if library.exists():
        return library
    with writing(cache):
        cache.mkdir(parents=True, exist_ok=True)
        scratch_directory = tempfile.TemporaryDirectory(prefix=f".{name}-", dir=cache)
    with scratch_directory as scratch:
        partial = Path(scratch) / library.name
        command = [compiler, *flags, "-shared", "-fPIC", "-I", str(entry.parent), str(entry), "-o", str(partial)]
        process = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if process.returncode != 0:
            if DISK_FULL in process.stderr:
                raise UserError(
                    f"{cache} or {tempfile.gettempdir()} is full: the {name} cannot be compiled; make room, or set XDG_CACHE_HOME"
                    " and TMPDIR to folders on another disk"
                )
            tail = "\n".join(process.stderr.splitlines()[-_LOG_TAIL_LINES:])
            raise InternalError(
                f"the {name} in {entry.parent} does not compile (g++ exits {process.returncode}):\n{tail}"
            )
        with writing(library):
            partial.replace(library)
    return library
