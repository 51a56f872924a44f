"""`moesaic deploy` against ssh and scp that are programs of this test: the board is a directory."""

import dataclasses
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.hls.compiler.generate import generate
from moesaic.host.commands.deploy import Remote
from moesaic.host.image_files import read_image

SSH = """#!{python}
import os, subprocess, sys
open({log!r}, "a").write("ssh " + sys.argv[1] + "\\n")
if sys.argv[1] == "nowhere":
    sys.exit("ssh: Could not resolve hostname nowhere")
environment = dict(os.environ, HOME={home!r}, PATH={path!r} + ":" + os.environ["PATH"])
environment.pop("PYTHONPATH", None)
sys.exit(subprocess.run(["sh", "-c", sys.argv[2]], cwd={home!r}, env=environment).returncode)
"""
SCP = """#!{python}
import os, shutil, sys
*options, source, target = sys.argv[1:]
assert options == ["-r", "-q"]
host, _, place = target.partition(":")
open({log!r}, "a").write("scp " + host + " " + place + "\\n")
assert not os.path.exists(os.path.join({home!r}, place)), "scp would copy into it"
os.mkdir(os.path.join({home!r}, place))  # scp makes no directory above it
shutil.copytree(source, os.path.join({home!r}, place), dirs_exist_ok=True)
"""


class Board:
    """A home directory on the board, the log of what reached it and the programs that its PATH finds first."""

    def __init__(self, root: Path) -> None:
        self.home, self.log, self.programs = root / "home", root / "log", root / "programs"
        for directory in (self.home, self.programs):
            directory.mkdir(parents=True)
        self.python('exec {python} "$@"')

    def python(self, line: str) -> None:
        write_program(self.programs / "python3", "#!/bin/sh\n" + line.format(python=sys.executable) + "\n")

    def call(self, *words: object) -> subprocess.CompletedProcess:
        environment = {**os.environ, "HOME": str(self.home), "PATH": f"{self.programs}:{os.environ['PATH']}"}
        return subprocess.run(
            [str(word) for word in words], cwd=self.home, env=environment, capture_output=True, text=True, check=False
        )


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def remote(tmp_path, monkeypatch) -> Board:
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"):
        monkeypatch.delenv(name, raising=False)
    board = Board(tmp_path / "board")
    local = tmp_path / "local"
    local.mkdir()
    values = {"python": sys.executable, "home": str(board.home), "log": str(board.log), "path": str(board.programs)}
    write_program(local / "ssh", SSH.format(**values))
    write_program(local / "scp", SCP.format(**values))
    monkeypatch.setenv("PATH", f"{local}:{os.environ['PATH']}")
    return board


@pytest.fixture
def pynq_image(remote, monkeypatch) -> None:
    """A board whose profile brings PYNQ's Python in, in the words of bash, as PYNQ's own does."""
    root = remote.home.parent / "image"
    (root / "bin").mkdir(parents=True)
    (root / "packages").mkdir()
    (root / "packages" / "pynq.py").write_text("")
    (root / "activate").write_text(f'export PATH="{root}/bin:$PATH"\n')
    (root / "pynq_venv.sh").write_text(f"source {root}/activate\n")
    write_program(
        root / "bin" / "python3",
        f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{root}/packages" exec {sys.executable} "$@"\n',
    )
    monkeypatch.setattr("moesaic.host.commands.deploy._PROFILES", (str(root / "pynq_venv.sh"), str(root / "absent.sh")))


def files_below(directory: Path) -> set[str]:
    paths = (path for path in directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(directory)) for path in paths}


def test_the_copy_runs_on_the_board(run_moesaic, remote, board_build, image_file, build):
    """Code, build and bitstream arrive; what was copied gives the pictures that this machine gives."""
    place = f"builds/{build.name}-{build.fingerprint}"
    code, out, err = run_moesaic("deploy", "BOARD=xilinx@pynq", board_build)
    assert (code, err) == (0, "")
    assert f"({build.fingerprint}) is on xilinx@pynq in moesaic" in out
    assert "pynq is missing there" in out and f"sudo moesaic/moesaic run moesaic/{place} IMAGE" in out
    there = remote.home / "moesaic"
    found = files_below(there)
    assert {
        "moesaic",
        "lib/moesaic/host/viewer.html",
        "lib/moesaic/host/board.py",
        "lib/moesaic/spec/build.py",
        f"{place}/build.json",
    } <= found
    assert {f"bitstreams/tiny-{build.fingerprint}/accel.{kind}" for kind in ("bit", "hwh")} <= found
    packages = {name.split("/")[0] for name in found}
    assert packages <= {"moesaic", "python", "lib", "builds", "bitstreams", "examples"}, "no torch, no simulator"
    assert sorted(path.name for path in remote.home.iterdir()) == ["moesaic"], "nothing is left beside it"

    run = remote.call(there / "moesaic", "run", there / place, image_file, "--executor", "emulator")
    assert run.returncode == 0, run.stderr
    assert not list(there.rglob("__pycache__")), "as root, it would be in the way of the next deployment"
    assert (
        run_moesaic("run", board_build, image_file, "--executor", "emulator", "--output", remote.log.parent / "here")[0]
        == 0
    )
    for task in build.tasks:
        name = f"{image_file.stem}.{task}.png"
        assert np.array_equal(
            read_image(remote.home / "predictions" / name), read_image(remote.log.parent / "here" / name)
        )


def test_deploying_again_keeps_other_builds(run_moesaic, remote, board_build, own_build, build):
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0
    other = remote.home / "moesaic" / "builds" / "other"
    other.mkdir()
    (other / "build.json").write_text("kept")
    (remote.home / "moesaic" / "lib" / "moesaic" / "host" / "stale.py").write_text("")
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0
    assert (other / "build.json").read_text() == "kept"
    assert not (remote.home / "moesaic" / "lib" / "moesaic" / "host" / "stale.py").exists()
    assert sorted(path.name for path in remote.home.iterdir()) == ["moesaic"]


def test_the_profile_is_written_for_bash(run_moesaic, remote, pynq_image, board_build):
    """PYNQ's packages are found by the check, and by what the user runs afterwards, also through a link."""
    code, out, err = run_moesaic("deploy", "pynq", board_build)
    assert (code, err) == (0, "") and "with its bitstream" in out and "missing" not in out
    (remote.home / "link").symlink_to("moesaic/python")
    for program in (remote.home / "moesaic" / "python", remote.home / "link"):
        found = remote.call(program, "-c", "import pynq; print(pynq.__name__)")
        assert (found.stdout, found.stderr) == ("pynq\n", "")
    doctor = remote.call(remote.home / "moesaic" / "moesaic", "doctor")
    assert doctor.returncode == 0 and doctor.stderr == ""


def test_leftovers_that_cannot_be_removed(run_moesaic, remote, board_build):
    """What root left in an old copy: named, and not in the way of this deployment or the next."""
    real = shutil.which("rm")
    refuse = 'case "$*" in *retired*) echo "rm: Permission denied" >&2; exit 1;; esac'
    write_program(remote.programs / "rm", f'#!/bin/sh\n{refuse}\nexec {real} "$@"\n')
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0
    for count in (1, 2):
        (remote.home / "moesaic" / "lib" / "moesaic" / "host" / "stale.py").write_text("")
        code, out, err = run_moesaic("deploy", "pynq", board_build)
        assert (code, err) == (0, "") and out.count("moesaic.retired.") == count and "sudo rm -rf" in out
        assert not (remote.home / "moesaic" / "lib" / "moesaic" / "host" / "stale.py").exists()
    (remote.programs / "rm").unlink()
    assert "retired" not in run_moesaic("deploy", "pynq", board_build)[1]
    assert sorted(path.name for path in remote.home.iterdir()) == ["moesaic"]


def test_builds_of_other_names_lie_side_by_side(run_moesaic, remote, board_build, bundle, build, tmp_path):
    """Though both directories are called `build`, as the demo's is."""
    other = generate(dataclasses.replace(bundle, name="second demo"), build.configuration)
    other.save(tmp_path / "other" / "build")
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0
    code, out, _ = run_moesaic("deploy", "pynq", tmp_path / "other" / "build", "--without-bitstream")
    assert code == 0
    names = [f"{name}-{build.fingerprint}" for name in (build.name, "second_demo-tiny")]
    assert sorted(path.name for path in (remote.home / "moesaic" / "builds").iterdir()) == sorted(names)
    assert f"moesaic/builds/{names[1]} IMAGE" in out


def test_without_bitstream(run_moesaic, remote, saved_build):
    code, _, err = run_moesaic("deploy", "pynq", saved_build)
    assert code == 2 and "no bitstream" in err and not remote.log.exists(), "nothing is sent before all is there"
    code, out, _ = run_moesaic("deploy", "pynq", saved_build, "--without-bitstream", "--directory", "apps/moesaic")
    assert code == 0 and "emulator" in out and (remote.home / "apps" / "moesaic" / "moesaic").exists()


@pytest.mark.parametrize(
    ("python", "parts"),
    [
        ('echo \'{{"python": "3.8.2", "fingerprint": "", "problem": "x", "pynq": true}}\'', ["Python 3.8.2, 3.10"]),
        ("exit 127", ["exit code 127"]),
        ("echo hello", ["does not answer as a board"]),
        ('echo "import sys; sys.modules[\'numpy\'] = None" > lib/sitecustomize.py; exec {python} "$@"', ["numpy"]),
    ],
    ids=["old python", "no python", "no board", "no numpy"],
)
def test_a_board_that_cannot_run_it_keeps_what_it_has(run_moesaic, remote, board_build, python, parts):
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0
    before = files_below(remote.home / "moesaic")
    remote.python(python)
    code, _, err = run_moesaic("deploy", "pynq", board_build)
    assert code == 2 and err.count("\n") == 1
    for part in parts:
        assert part in err
    assert files_below(remote.home / "moesaic") == before


def test_a_copy_that_was_damaged_on_the_way(run_moesaic, remote, board_build, monkeypatch):
    copy = Remote.copy

    def damage(self, directory: Path, target: str) -> None:
        copy(self, directory, target)
        (place,) = (remote.home / target / "builds").iterdir()
        (place / "constants.bin").write_bytes(b"")

    monkeypatch.setattr(Remote, "copy", damage)
    code, _, err = run_moesaic("deploy", "pynq", board_build)
    assert code == 2 and "constants.bin is altered" in err and not (remote.home / "moesaic").exists()


@pytest.mark.parametrize("name", ["", "-oProxyCommand=true"])
def test_what_is_no_host(run_moesaic, remote, board_build, name):
    with pytest.raises(UserError, match="is no host"):
        Remote(name)
    assert run_moesaic("deploy", f"BOARD={name}", board_build)[0] == 2 and not remote.log.exists()


def test_a_host_that_is_not_found(run_moesaic, remote, board_build):
    code, _, err = run_moesaic("deploy", "nowhere", board_build)
    assert code == 2 and "Could not resolve hostname nowhere" in err


@pytest.mark.parametrize("directory", ["a b", "$(reboot)", "-rf", "a;b"])
def test_a_directory_that_a_shell_would_take_apart(run_moesaic, remote, board_build, directory):
    code, _, err = run_moesaic("deploy", "pynq", board_build, f"--directory={directory}")
    assert code == 2 and "use letters" in err and not remote.log.exists()


def test_ssh_is_missing(run_moesaic, board_build, monkeypatch):
    monkeypatch.setenv("PATH", "")
    code, _, err = run_moesaic("deploy", "pynq", board_build)
    assert code == 2 and "ssh is missing" in err


def test_a_damaged_build_is_not_sent(run_moesaic, remote, board_build):
    manifest = json.loads((board_build / "build.json").read_text())
    manifest["version"] = 0  # of an older moesaic
    (board_build / "build.json").write_text(json.dumps(manifest))
    code, _, err = run_moesaic("deploy", "pynq", board_build)
    assert code == 2 and "this program reads" in err and not remote.log.exists()
