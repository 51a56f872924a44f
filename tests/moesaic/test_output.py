"""Terminals, pipes and disks that take no more: one line, or none, and never a traceback."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from moesaic import caches, command_line
from moesaic.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
FULL = Path("/dev/full")


def moesaic(*words: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | options.pop("environment", {})
    command = [sys.executable, "-m", "moesaic", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, **{"stderr": subprocess.PIPE, **options})


BUFFERED = [(words, buffered) for words in (("doctor",), ("run", "--help")) for buffered in (True, False)]
"""Python's streams fail when they are flushed or, if PYTHONUNBUFFERED is set, when they are written, which argparse ignores."""


@pytest.mark.parametrize(("words", "buffered"), BUFFERED)
def test_a_closed_pipe_ends_in_silence(words, buffered):
    """As in `moesaic doctor | head -0`."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        run = moesaic(*words, stdout=writing, environment={"PYTHONUNBUFFERED": "" if buffered else "1"})
    finally:
        os.close(writing)
    assert run.stderr == b""
    assert run.returncode == (command_line.EXIT_CLOSED_PIPE if buffered or words == ("doctor",) else 0)


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
@pytest.mark.parametrize(("words", "buffered"), BUFFERED)
def test_output_to_a_full_disk_is_one_line(words, buffered):
    with FULL.open("wb") as full:
        run = moesaic(*words, stdout=full, environment={"PYTHONUNBUFFERED": "" if buffered else "1"})
    if buffered or words == ("doctor",):
        assert run.returncode == 2
        assert run.stderr.startswith(
            b"error: standard output or a file cannot be written (No space left on device); make room"
        )
    assert run.stderr.count(b"\n") <= 1


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
def test_an_error_that_nobody_can_be_told_is_still_an_exit_code():
    with FULL.open("wb") as full:
        run = moesaic("fly", stdout=subprocess.PIPE, stderr=full)
    assert run.returncode == 2 and run.stdout == b""


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}


def test_a_terminal_that_is_not_utf_8(tmp_path):
    """Help has an ellipsis, names of files may have anything."""
    run = moesaic("run", "--help", stdout=subprocess.PIPE, environment=ASCII)
    assert (run.returncode, run.stderr) == (0, b"") and b"TASK[@PATHWAY],?" in run.stdout
    run = moesaic(
        "run", os.fsencode(tmp_path / "bäckerei").decode(), "x.png", stdout=subprocess.PIPE, environment=ASCII
    )
    assert run.returncode == 2 and run.stderr.startswith(b"error: ") and run.stderr.count(b"\n") == 1


def test_files_are_utf_8_whatever_the_locale(tmp_path):
    """Configurations, sources and scripts are read, and builds written, under a locale of ASCII alone."""
    code = (
        "from moesaic.spec.configuration import load_configuration\nfrom moesaic.sim.machines.source_closure import source_closure\n"
        "from moesaic.sim.machines.rtl_directories import RTL_DIRECTORIES\n"
        "load_configuration('tiny'); load_configuration('zcu104')\n"
        "print(len(source_closure('moesaic_accelerator', RTL_DIRECTORIES)) > 10)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | ASCII, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, "True\n"), run.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_without_room_is_one_line(monkeypatch, capsys, number):
    def run(arguments: object) -> int:
        raise OSError(number, os.strerror(number), "/somewhere/file")

    monkeypatch.setattr("moesaic.host.commands.doctor.DoctorCommand.run", staticmethod(run))
    assert command_line.main(["doctor"]) == 2
    error = capsys.readouterr().err
    assert error == f"error: /somewhere/file cannot be written ({os.strerror(number)}); make room, or write elsewhere\n"


def test_other_errors_of_the_system_keep_their_traceback(monkeypatch):
    def run(arguments: object) -> int:
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    monkeypatch.setattr("moesaic.host.commands.doctor.DoctorCommand.run", staticmethod(run))
    with pytest.raises(ConnectionResetError):
        command_line.main(["doctor"])


def test_a_broken_pipe_of_something_else_is_no_silence(monkeypatch):
    def run(arguments: object) -> int:
        raise BrokenPipeError(errno.EPIPE, "a simulator's")

    monkeypatch.setattr("moesaic.host.commands.doctor.DoctorCommand.run", staticmethod(run))
    with pytest.raises(BrokenPipeError):
        command_line.main(["doctor"])


def full_disk(directory: Path) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_cache_gives_way(tmp_path, monkeypatch, capsys):
    """A full disk takes folders, but no file."""
    monkeypatch.setattr(caches, "_private", [])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "full"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    usual = caches._require_room
    monkeypatch.setattr(
        caches,
        "_require_room",
        lambda directory: full_disk(directory) if "full" in directory.parts else usual(directory),
    )
    assert caches.cache_directory("emulators") == tmp_path / "home" / ".cache" / "moesaic" / "emulators"
    monkeypatch.setattr(caches, "_require_room", full_disk)
    assert caches.cache_directory("emulators").parent == caches._private[0]
    assert "No space left on device" in capsys.readouterr().err


def test_a_compiler_without_room_is_one_line(tmp_path, monkeypatch):
    from moesaic.compiled_library import compile_library

    program = tmp_path / "bin" / "g++"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\ncase $* in *-o*) echo 'as: /tmp/x.o: No space left on device' >&2; exit 1;; esac\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    (tmp_path / "a.cpp").write_text("")
    with pytest.raises(
        UserError, match=r"is full: the thing cannot be compiled; make room, or set XDG_CACHE_HOME and TMPDIR"
    ):
        compile_library("thing", tmp_path / "a.cpp", (), ("-O3",), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
