"""Directories of hashed files: what is sealed, what is kept when one is replaced, and what is left when writing fails."""

import json
import os
import re
from pathlib import Path

import pytest

from moesaic.errors import UserError
from moesaic.files import (
    is_hidden,
    manifest_sha256,
    pictures_in,
    read_file,
    read_manifest,
    replacing,
    require_file_writable,
    require_writable,
    write_directory,
    write_file,
)

MANIFEST = {"format": "thing", "version": 1, "table": {3: [1.5, float("nan")]}}


def write(directory, **files):
    write_directory(directory, "thing.json", MANIFEST, {name: content.encode() for name, content in files.items()})


def names(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / "a", one="1")
    manifest = read_manifest(tmp_path / "a", "thing.json", "thing", 1, "remedy")
    assert manifest["sha256"] == manifest_sha256(MANIFEST | {"files": manifest["files"]})
    assert read_file(tmp_path / "a", manifest, "one", "remedy") == b"1"


def test_an_altered_manifest_is_refused_with_both_hashes(tmp_path):
    write(tmp_path / "a", one="1")
    path = tmp_path / "a" / "thing.json"
    manifest = json.loads(path.read_text())
    manifest["table"]["3"][0] = 2.5
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=rf"thing.json.*{manifest_sha256(manifest)}.*{manifest['sha256']}.*remedy"):
        read_manifest(tmp_path / "a", "thing.json", "thing", 1, "remedy")


def test_replacing_drops_our_files_and_keeps_foreign_ones(tmp_path):
    write(tmp_path / "a", one="1", two="2")
    (tmp_path / "a" / "accel.bit").write_bytes(b"bits")
    (tmp_path / "a" / "notes").mkdir()
    (tmp_path / "a" / "notes" / "today").write_text("text")
    write(tmp_path / "a", one="new", three="3")
    assert names(tmp_path / "a") == ["accel.bit", "notes/today", "one", "thing.json", "three"]
    assert (tmp_path / "a" / "one").read_text() == "new" and (tmp_path / "a" / "accel.bit").read_bytes() == b"bits"
    assert os.listdir(tmp_path) == ["a"]


def test_a_directory_with_a_damaged_manifest_is_made_again(tmp_path):
    write(tmp_path / "a", one="1")
    (tmp_path / "a" / "thing.json").write_text("{")
    write(tmp_path / "a", one="new")
    assert read_manifest(tmp_path / "a", "thing.json", "thing", 1, "")["files"] and names(tmp_path / "a")[0] == "one"


def test_a_link_to_a_directory_stays_a_link(tmp_path):
    write(tmp_path / "a", one="1")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    write(tmp_path / "link", one="2")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "a" / "one").read_text() == "2"
    assert sorted(os.listdir(tmp_path)) == ["a", "link"]


@pytest.mark.parametrize("failing", [1, 2], ids=["retiring", "appearing"])
def test_the_old_directory_survives_a_failed_replacement(tmp_path, monkeypatch, failing):
    write(tmp_path / "a", one="old")
    rename, calls = os.rename, []

    def fail_once(source, target):
        calls.append(source)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_once)
    with pytest.raises(UserError, match=r"a cannot be written \(No space left on device\)"):
        write(tmp_path / "a", one="new")
    assert (tmp_path / "a" / "one").read_text() == "old" and os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("place", ["file/below", "file/further/below", "/proc/nothing", "/proc/nothing/below"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "file").write_text("")
    target = tmp_path / place
    for attempt in (lambda: require_writable(target), lambda: write(target, one="1")):
        with pytest.raises(
            UserError, match=rf"{re.escape(str(target))} cannot be written \((Not a dir|No such file|Perm)"
        ):
            attempt()
    assert os.listdir(tmp_path) == ["file"]


def test_asking_whether_a_place_is_writable_leaves_nothing(tmp_path):
    require_writable(tmp_path / "one" / "two")
    require_writable(tmp_path)
    require_file_writable(tmp_path / "one" / "file")
    require_file_writable(Path(os.path.relpath(tmp_path / "file")))
    assert os.listdir(tmp_path) == []
    with pytest.raises(UserError, match=r"cannot be written \(Is a directory\)"):
        require_file_writable(tmp_path)


def test_a_foreign_directory_is_not_overwritten(tmp_path):
    (tmp_path / "mine").write_text("text")
    with pytest.raises(UserError, match=r"has no thing\.json: it is not overwritten"):
        write(tmp_path, one="1")
    assert os.listdir(tmp_path) == ["mine"]


@pytest.fixture(params=[0o022, 0o027, 0o077, 0o002], ids=lambda mask: f"umask-{mask:03o}")
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_what_is_written_follows_the_umask(tmp_path, umask):
    write_file(tmp_path / "new" / "file", b"1")
    write_file(tmp_path / "new" / "file", b"2")
    write(tmp_path / "directory", one="1", **{"below/two": "2"})
    write(tmp_path / "directory", one="1", **{"below/two": "2"})
    modes = {path.relative_to(tmp_path).as_posix(): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes.pop("new/file") == 0o666 & ~umask
    for name in ("thing.json", "one", "below/two"):
        assert modes.pop(f"directory/{name}") == 0o666 & ~umask
    assert modes == dict.fromkeys(("new", "directory", "directory/below"), 0o777 & ~umask)


def test_a_library_that_puts_its_own_file_in_place_does_not_change_the_mode(tmp_path, umask):
    """As safetensors does, whose files are their owner's alone."""
    with replacing(tmp_path / "checkpoint") as staging:
        staging.unlink()
        staging.write_bytes(b"1")
        staging.chmod(0o600)
    assert (tmp_path / "checkpoint").stat().st_mode & 0o777 == 0o666 & ~umask


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 1\n"


def test_a_pointer_of_git_lfs_is_called_so(tmp_path):
    write(tmp_path / "a", one="1")
    manifest = read_manifest(tmp_path / "a", "thing.json", "thing", 1, "remedy")
    (tmp_path / "a" / "one").write_bytes(POINTER)
    with pytest.raises(UserError, match=r"one is a pointer of Git LFS, not the file; fetch that with: git lfs pull"):
        read_file(tmp_path / "a", manifest, "one", "remedy")
    (tmp_path / "a" / "thing.json").write_bytes(POINTER)
    with pytest.raises(UserError, match=r"thing\.json is a pointer of Git LFS"):
        read_manifest(tmp_path / "a", "thing.json", "thing", 1, "remedy")


def test_pictures_are_no_hidden_files(tmp_path):
    for name in ("b.png", "a.JPG", "._b.png", ".hidden.jpg", ".DS_Store", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in pictures_in(tmp_path)] == ["a.JPG", "b.png"]
    assert is_hidden(Path("a/.thumbnails/b.png")) and is_hidden(Path("._b.png"))
    assert not is_hidden(Path("../a/b.png")) and not is_hidden(Path("./b.c.png"))
