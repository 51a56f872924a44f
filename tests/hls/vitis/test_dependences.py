"""That `dependent=false` is true wherever a loop says it: no iteration reads from a memory what another has written."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from moesaic.hls.vendor.vitis.project import kernel_sources
from moesaic.spec.configuration import load_configuration

DRIVER = Path(__file__).with_name("dependences.cpp")
LOOPS = {"softmax.hpp": 1, "layer_norm.hpp": 1, "matmul.hpp": 2, "route.hpp": 1}
"""File to the number of its pipelined loops with DEPENDENCE. That of route.hpp only writes."""


def instrumented(configuration: str) -> dict[str, str]:
    """The sources of the kernel, in which whatever reads a memory asks `seen` which one."""
    sources = kernel_sources(load_configuration(configuration))
    for file, struct, name in (("act_memory.hpp", "ActMemory", "act"), ("weight_memory.hpp", "WeightMemory", "weight")):
        text, readers = re.subn(
            rf"^(inline .*\()const {struct} &{name}, (.*\{{)$",
            rf"\1const {struct} &real, \2\n  const {struct} &{name} = seen(real);",
            sources[file],
            flags=re.MULTILINE,
        )
        declared = re.search(rf"^struct {struct} \{{$.*?^\}};$", text, re.MULTILINE | re.DOTALL)
        assert readers >= 2 and declared is not None
        sources[file] = f"{text[: declared.end()]}\nconst {struct} &seen(const {struct} &);\n{text[declared.end() :]}"
    return sources


def run(directory: Path, sources: dict[str, str]) -> subprocess.CompletedProcess[str]:
    for name, text in sources.items():
        (directory / name).write_text(text)
    flags = ("-std=c++14", "-O1", "-Wall", "-Wno-unknown-pragmas", "-Wno-unused-label", "-I", str(directory))
    subprocess.run(["g++", *flags, str(DRIVER), "-o", str(directory / "bench")], check=True)
    return subprocess.run([directory / "bench"], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("configuration", ["tiny", "zcu104"])
def test_iterations_do_not_need_one_another(tmp_path: Path, configuration: str) -> None:
    result = run(tmp_path, instrumented(configuration))
    assert (result.stdout, result.returncode) == ("0 wrong\n", 0)


def test_the_driver_notices(tmp_path: Path) -> None:
    """Half a beat written without what the half before it has left."""
    sources = instrumented("tiny")
    line = "    if (!first && index % 2 == 1) beat = last;\n"
    assert line in sources["act_memory.hpp"]
    sources["act_memory.hpp"] = sources["act_memory.hpp"].replace(line, "")
    result = run(tmp_path, sources)
    assert result.returncode == 1
    assert "softmax in place" in result.stdout and "layer norm, odd" in result.stdout


def test_every_such_loop_is_here() -> None:
    sources = kernel_sources(load_configuration("tiny"))
    found = {}
    for name, text in sources.items():
        lines = text.splitlines()
        loops = sum("PIPELINE" in a and "DEPENDENCE" in b for a, b in pairwise(lines))
        if loops:
            found[name] = loops
    assert found == LOOPS
