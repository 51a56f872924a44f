"""Every command that the pages print: run in a reader's folder where that is quick, otherwise held against what would take it.

Commands stand in console blocks, after a `$`, and as inline code. `moesaic` commands are run unless PARSED_ONLY says why not; those are
parsed by the command's own parser, and so is what sudo starts on a board or torchrun on several processes. Targets of make are
looked up by make itself, paths of pytest in the tree. An inline mention that leaves out what a command requires, such as `moesaic
run --tasks depth@fast`, is parsed as far as it goes.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from moesaic import command_line
from moesaic.errors import UserError
from moesaic.hls.compiler.generate import generate
from moesaic.host.png import encode_png
from moesaic.spec.bundle import Alternative
from moesaic.spec.configuration import load_configuration
from tests.docs.markdown import PAGES, REPOSITORY, Block, blocks, inline, name_of
from tests.hls.networks import SMALL, tasks_of
from tests.hls.random_bundle import random_bundle

PARSED_ONLY = {
    "run board": "needs a board",
    "train": "trains for minutes, or needs a data set",
    "timeline --waveform": "compiles a simulator of its own for minutes; tests/sim/test_rtl_executor.py writes waveforms",
    "fit-cycles": "simulates for minutes",
    "qat": "needs a checkpoint",
    "sensitivity": "needs a checkpoint",
    "evaluate": "needs a checkpoint",
    "export": "needs a checkpoint, or makes a full-size network",
    "pathways": "needs a checkpoint",
    "import": "needs a checkpoint of others",
    "generate build/focus": "needs a network of others",
    "ptq": "quantises for minutes; tests/model/experiments/ptq has small networks",
    "results": "trains for hours",
    "sweep": "trains for hours; tests/model/experiments/test_sweep.py has a small one",
    "bench-experts": "times for minutes, with nothing else running",
    "bench-training": "times for minutes, with nothing else running",
    "demo": "trains for minutes; `make demo` is tests/system's",
    "real": "trains and simulates for half an hour; tests/system has a tiny one",
    "report": "simulates for a minute; tests/sim has it",
    "bench": "simulates for hours",
    "bench-peers": "simulates and synthesises for an hour; tests/sim/measurements/peers has a small layer",
    "resources": "synthesises for minutes",
    "explore": "estimates for a minute; tests/sim/measurements/exploration has it",
    "bitstream": "needs Vivado",
    "deploy": "needs a board",
    "watch": "serves until it is stopped",
    "netlist": "simulates in four states for minutes; tests/sim/measurements/netlist_run does",
    "lint": "checks all RTL for a minute; `make lint` is tests/test_style.py's and tests/sim's",
    "tables": "writes into the checkout",
}
OTHER_PROGRAMS = {
    ".": "enters an environment",
    "apt-get": "of Debian",
    "build/cpp-runtime/moesaic_frames": "tests/host/cpp/test_package.py runs it",
    "cmake": "tests/host/cpp/test_package.py runs it",
    "cp": "of the system",
    "dask": "needs machines; tests/moesaic/test_campaign.py starts its scheduler and workers",
    "fusesoc": "tests/hls/test_reuse.py runs it",
    "g++": "of the system; the emulator is compiled with these options",
    "grep": "on a board",
    "gst-launch-1.0": "of GStreamer; needs a camera",
    "hls4ml": "of hls4ml",
    "pip": "of Python",
    "pre-commit": "of its own package",
    "python": "a session; its blocks are run",
    "python3": "makes an environment",
    "ssh": "needs a board",
    "vitis-run": "needs Vitis",
    "vitis_hls": "needs Vitis",
}
PYTEST_OF_A_PAGE = {"test_saturating_adder.py": "of docs/bench_kit.md, whose test runs it"}
PROGRAMS = {"moesaic", "make", "pytest", "torchrun", "sudo", *OTHER_PROGRAMS}
NEEDS_THE_ENVIRONMENT = {"moesaic", "pytest", "torchrun", "python", "pre-commit"}
ON_A_BOARD = "moesaic/moesaic"
STEPS = REPOSITORY / "hls" / "vendor" / "tcl"


@dataclass(frozen=True)
class Command:
    """words: as a shell splits them. inline: it is a mention in text, which may leave something out."""

    page: str
    line: str
    words: tuple[str, ...]
    inline: bool

    @property
    def program(self) -> str:
        return self.words[0]


def _split(line: str) -> tuple[str, ...]:
    return tuple(shlex.split(line, comments=True))


def _console(block: Block) -> list[str]:
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def _commands(page: Path) -> list[Command]:
    found = []
    for block in blocks(page, "console"):
        variables: dict[str, str] = {}
        for line in _console(block):
            if assignment := re.fullmatch(r"(\w+)=(\S+)(\s+#.*)?", line):
                variables[assignment[1]] = assignment[2]
                continue
            text = re.sub(r"\$(\w+)", lambda match: variables[match[1]], line)  # noqa: B023
            found.append(Command(name_of(page), line, _split(text), False))
    for token in inline(page, "code_inline"):
        text = " ".join(token.content.split())
        if text.partition(" ")[0] in PROGRAMS - {"."} and " " in text:
            found.append(Command(name_of(page), text, _split(text), True))
    return found


# But for the changelog, whose commands were those of their time.
CURRENT = [page for page in PAGES if page.name != "CHANGELOG.md"]
COMMANDS = list(dict.fromkeys(command for page in CURRENT for command in _commands(page)))


def of(*programs: str) -> list[Command]:
    return [command for command in COMMANDS if command.program in programs]


def moesaic_words(command: Command) -> tuple[str, ...] | None:
    """What comes after `moesaic`, also where another program starts it; None if this starts something else."""
    words = command.words
    if command.program == "sudo":
        words = words[1:]
    elif command.program == "torchrun" and "--no-python" in words:
        words = words[words.index("--no-python") + 1 :]
    return words[1:] if words[0] in ("moesaic", ON_A_BOARD) else None


MOESAIC = [command for command in COMMANDS if moesaic_words(command)]


def parse(command: Command) -> None:
    """UserError if the command's own parser refuses the words."""
    words = moesaic_words(command)
    assert words is not None
    if words != ("--help",):
        command_line._parser(command_line._entries(), words[0]).parse_args(words)


def id_of(command: Command) -> str:
    return f"{command.page}: {command.line}"


def incomplete(command: Command) -> bool:
    """Whether a mention leaves out what the command requires."""
    try:
        parse(command)
    except UserError as error:
        if command.inline and "the following arguments are required" in str(error):
            return True
        raise
    return False


@pytest.mark.parametrize("command", MOESAIC, ids=id_of)
def test_moesaic_takes_it(command):
    incomplete(command)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder as `make demo` leaves it, but with a small network of random weights, and with a picture of the reader's."""
    place = tmp_path_factory.mktemp("reader")
    tasks = tasks_of(SMALL)
    fewer = Alternative(1, dict.fromkeys(SMALL.moe_blocks, (2,)), {"metric": "rmse", "integer": 0.5})
    bundle = random_bundle(SMALL, {**tasks, "depth": replace(tasks["depth"], alternatives={"fast": fewer})}, seed=1)
    bundle.save(place / "build" / "demo" / "bundle")
    for name in ("demo/build", "demo-tiny"):
        generate(bundle, load_configuration("tiny")).save(place / "build" / name)
    shutil.copytree(REPOSITORY / "configs", place / "configs", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copy(REPOSITORY / "configs" / "zcu104.toml", place / "mine.toml")
    picture = np.random.default_rng(7).integers(0, 256, (45, 61, 3)).astype(np.uint8)
    (place / "photograph.png").write_bytes(encode_png(picture))
    return place


STANDS_FOR = {"BUNDLE": "build/demo/bundle", "BUILD": "build/demo/build", "IMAGE": "photograph.png",
              "PICTURE": "photograph.png", "DIR": "out", "TASK": "depth"}  # fmt: skip


def only_parsed(command: Command) -> bool:
    name, *arguments = command.words[1:]
    return not {name, *(f"{name} {argument}" for argument in arguments)}.isdisjoint(PARSED_ONLY)


RUN = [command for command in MOESAIC if command.program == "moesaic" and not only_parsed(command)]


@pytest.mark.parametrize("command", RUN, ids=id_of)
def test_it_runs(command, folder, monkeypatch, capsys):
    if incomplete(command):
        return
    monkeypatch.chdir(folder)
    words = [STANDS_FOR.get(word, word) for word in command.words[1:]]
    try:
        code = command_line.main(words)
    except SystemExit as end:  # --help
        code = end.code
    assert code == 0, capsys.readouterr().err


def test_commands_that_are_only_parsed_exist():
    """A command that is gone, or that runs meanwhile, leaves the table."""
    assert {name.partition(" ")[0] for name in PARSED_ONLY} <= set(command_line._entries())


@pytest.mark.parametrize("command", of("make"), ids=id_of)
def test_make_has_the_target_and_takes_the_variables(command):
    targets = [word for word in command.words[1:] if "=" not in word and not word.startswith("-")]
    variables = [word.partition("=")[0] for word in command.words[1:] if "=" in word]
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"no target {target}"
    for variable in variables:
        assert f"$({variable})" in makefile, f"the Makefile does not read {variable}"
    subprocess.run(["make", "-n", *command.words[1:]], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("command", of("pytest"), ids=id_of)
def test_pytest_finds_the_tests(command):
    words = command.words[1:]
    values = {index + 1 for index, word in enumerate(words) if word in ("-k", "-m", "-n")}
    for index, word in enumerate(words):
        if index in values or word.startswith("-") or word in PYTEST_OF_A_PAGE:
            continue
        path, _, test = word.partition("::")
        assert (REPOSITORY / path).exists(), f"there is no {path}"
        assert f"def {test.partition('[')[0]}" in (REPOSITORY / path).read_text() if test else True


@pytest.mark.parametrize("command", of("vitis-run", "vitis_hls"), ids=id_of)
def test_vitis_gets_a_script_that_a_project_has(command):
    for word in command.words:
        if word.endswith(".tcl"):
            assert (STEPS / Path(word).name).is_file()


def test_each_program_is_known():
    """What starts with another program needs a reason in OTHER_PROGRAMS, or a test."""
    assert {command.program for command in COMMANDS} <= PROGRAMS


@pytest.mark.parametrize("page", CURRENT, ids=name_of)
def test_the_environment_is_entered_before_it_is_needed(page):
    entered = False
    for command in _commands(page):
        if command.inline:
            continue
        entered = entered or command.words == (".", ".venv/bin/activate")
        assert entered or command.program not in NEEDS_THE_ENVIRONMENT, command.line


@pytest.mark.parametrize("page", CURRENT, ids=name_of)
def test_commands_stand_in_console_blocks(page):
    """In a block of another kind they would go unnoticed."""
    for block in blocks(page):
        if block.language in ("", "sh", "bash", "shell", "text"):
            for line in block.text.splitlines():
                assert line.lstrip("$ ").partition(" ")[0] not in ("moesaic", "make", "pytest"), line


def test_the_readme_names_every_command():
    """In its table of what moesaic is made of."""
    rows = [line for line in (REPOSITORY / "README.md").read_text().splitlines() if line.startswith("| `")]
    named = {name.removeprefix("moesaic ") for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert set(command_line._entries()) <= named
