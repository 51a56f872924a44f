"""The emulator as the runtime sees it: what it needs, what it refuses, and that instances share nothing."""

from __future__ import annotations

import errno
import gc
from dataclasses import replace

import numpy as np
import pytest

from moesaic.emulator import Emulator, compile_emulator
from moesaic.errors import InternalError, UserError
from moesaic.sim.machines.csim import write_sources
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import Memory, Program
from moesaic.spec.isa import Space, pack

TINY = load_configuration("tiny")
ONE = {"count_1": 1, "count_2": 1, "count_3": 1}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cpp")
    write_sources(TINY, directory)
    return directory


def memory_for(*code: bytes) -> tuple[Program, Memory]:
    program = b"".join(code) + pack("end")
    return Program(0, len(program)), Memory(np.frombuffer(program, np.uint8).copy(), np.zeros(64, np.uint8))


def test_equal_sources_compile_once(sources, cache, tmp_path):
    library = compile_emulator(sources, cache)
    stamp = library.stat().st_mtime_ns
    write_sources(TINY, tmp_path)
    assert compile_emulator(tmp_path, cache) == library
    assert library.stat().st_mtime_ns == stamp
    (tmp_path / "route.hpp").write_text((tmp_path / "route.hpp").read_text() + "\n// changed\n")
    assert compile_emulator(tmp_path, cache) != library


def test_instances_share_nothing(sources, cache):
    first, second = (Emulator(sources, TINY, cache=cache, seed=seed) for seed in (1, 2))
    program, memory = memory_for(pack("load", bytes=16, **ONE))
    first.run(program, memory, 0)
    program, memory = memory_for(pack("store", space=int(Space.FRAME), bytes=16, **ONE))
    frames = []
    for emulator in (first, second):
        memory.frame[:] = 0
        emulator.run(program, memory, 0)
        frames.append(memory.frame.copy())
    assert frames[0][:16].tobytes() == pack("load", bytes=16, **ONE)[:16]
    assert not np.array_equal(frames[0], frames[1])
    first.close()
    second.run(program, memory, 0)
    second.close()
    second.close()
    with pytest.raises(InternalError, match="closed"):
        second.run(program, memory, 0)
    del first, second
    gc.collect()


def test_other_fingerprint(sources, cache):
    other = replace(TINY, name="other", tile_rows=6)
    with pytest.raises(UserError) as caught:
        Emulator(sources, other, cache=cache)
    assert TINY.fingerprint in str(caught.value)
    assert other.fingerprint in str(caught.value)


def test_no_compiler(sources, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"g\+\+ is missing.*apt-get install g\+\+"):
        Emulator(sources, TINY, cache=tmp_path)


def test_no_sources(tmp_path):
    with pytest.raises(UserError, match=r"emulator\.cpp is missing"):
        Emulator(tmp_path, TINY, cache=tmp_path)


def test_broken_sources_leave_nothing_behind(tmp_path):
    write_sources(TINY, tmp_path)
    (tmp_path / "route.hpp").write_text("#error broken\n")
    with pytest.raises(InternalError, match="broken"):
        compile_emulator(tmp_path, tmp_path / "cache")
    assert not any((tmp_path / "cache").iterdir())


def test_windows_must_be_plain_bytes(sources, cache):
    emulator = Emulator(sources, TINY, cache=cache)
    program, memory = memory_for()
    with pytest.raises(InternalError, match=r"memory\.frame"):
        emulator.run(program, Memory(memory.constants, np.zeros(64, np.int16)), 0)
    with pytest.raises(InternalError, match=r"memory\.constants"):
        emulator.run(program, Memory(np.zeros(256, np.uint8)[::2], memory.frame), 0)
    memory.frame.flags.writeable = False
    with pytest.raises(InternalError, match="writeable"):
        emulator.run(program, memory, 0)


def test_it_runs_where_no_home_can_be_written(sources, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    monkeypatch.setattr("moesaic.caches._private", [])
    emulator = Emulator(sources, TINY)
    program, memory = memory_for(pack("load", bytes=16, **ONE))
    assert emulator.run(program, memory, 0)["instructions"] == 2
    assert capsys.readouterr().err.count("\n") == 1
    emulator.close()


def test_a_full_disk_is_one_line(sources, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(UserError, match=r"No space left on device.*make room"):
        compile_emulator(sources, tmp_path)
    assert not any(tmp_path.iterdir())
