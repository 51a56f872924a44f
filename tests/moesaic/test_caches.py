"""Where caches go: the first place that can be written, and one that goes with the process where there is none."""

import subprocess
import sys
from pathlib import Path

import pytest

from moesaic import caches
from moesaic.caches import cache_directory
from moesaic.errors import UserError

TAKE_TWICE = """\
from moesaic.caches import cache_directory
first, second = cache_directory("emulators"), cache_directory("simulators")
(first / "kept").write_text("")
print(first)
print(second)
"""


@pytest.fixture
def no_directory(tmp_path) -> Path:
    """A place where nothing can be made, not even by root."""
    place = tmp_path / "a file"
    place.write_text("")
    return place / "home"


def in_a_process(**environment: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run(
        [sys.executable, "-c", TAKE_TWICE], env=environment, capture_output=True, text=True, check=True
    )


def test_the_named_place_comes_first(tmp_path):
    run = in_a_process(XDG_CACHE_HOME=str(tmp_path / "xdg"), HOME=str(tmp_path / "home"))
    assert run.stdout.splitlines()[0] == str(tmp_path / "xdg" / "moesaic" / "emulators")
    assert run.stderr == "" and not (tmp_path / "home").exists()
    assert [path.name for path in (tmp_path / "xdg" / "moesaic" / "emulators").iterdir()] == ["kept"], (
        "no probe is left"
    )


@pytest.mark.parametrize("named", [None, "relative", "unwritable"])
def test_then_the_home_directory(tmp_path, no_directory, named):
    home, xdg = tmp_path / "home", {"relative": "here", "unwritable": str(no_directory)}.get(named)
    run = in_a_process(HOME=str(home), **({"XDG_CACHE_HOME": xdg} if xdg else {}))
    assert run.stdout.splitlines() == [str(home / ".cache" / "moesaic" / kind) for kind in ("emulators", "simulators")]
    assert run.stderr == ""


def test_without_HOME_the_list_of_users_says_where_home_is(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(caches.Path, "home", classmethod(lambda _: tmp_path / "of the user"))
    assert cache_directory("emulators") == tmp_path / "of the user" / ".cache" / "moesaic" / "emulators"


def test_without_a_writable_home_it_is_said_once_and_goes_with_the_process(no_directory):
    run = in_a_process(HOME=str(no_directory))
    first, second = map(Path, run.stdout.splitlines())
    assert first.parent == second.parent and (first.name, second.name) == ("emulators", "simulators")
    assert run.stderr.count("\n") == 1 and str(no_directory) in run.stderr and str(first.parent) in run.stderr
    assert not first.parent.exists()


def test_without_any_home(tmp_path, monkeypatch, capsys):
    def nobody(_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(caches.Path, "home", classmethod(nobody))
    monkeypatch.setattr(caches, "_private", [])
    monkeypatch.setattr(caches.tempfile, "tempdir", str(tmp_path))
    assert cache_directory("emulators").parent.parent == tmp_path
    assert "there is no home directory" in capsys.readouterr().err


def test_where_nothing_at_all_can_be_written(no_directory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(no_directory))
    monkeypatch.setenv("HOME", str(no_directory))
    monkeypatch.setattr(caches, "_private", [])
    monkeypatch.setattr(caches.tempfile, "tempdir", str(no_directory))
    with pytest.raises(UserError, match="XDG_CACHE_HOME"):
        cache_directory("emulators")
