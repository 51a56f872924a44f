"""Directories of files that carry their own hashes, written atomically and checked when read."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moesaic.errors import UserError

MANIFEST_HASH = "sha256"
"""Key of the hash that a manifest has of itself."""
PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp")
"""Of the names of image files that folders are searched for."""
_LFS = b"version https://git-lfs.github.com/spec/"


def is_hidden(path: Path) -> bool:
    """Whether a path or a folder in it is hidden, as .DS_Store, ._photograph.jpg and .thumbnails/ are."""
    return any(part.startswith(".") and part not in (".", "..") for part in path.parts)


def pictures_in(folder: Path) -> list[Path]:
    """The image files in a folder, but not below it, in the order of their names. Hidden ones are none."""
    named = (p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and not p.name.startswith("."))
    return sorted(p for p in named if not p.is_dir())


def is_lfs_pointer(content: bytes) -> bool:
    """Whether this is the beginning of what Git LFS leaves in a file's place until the file is fetched."""
    return content.startswith(_LFS)


def refuse_lfs_pointer(path: Path) -> None:
    """UserError if a file is a pointer of Git LFS; whoever reads it then says what else is wrong with it."""
    try:
        with open(path, "rb") as file:
            found = is_lfs_pointer(file.read(len(_LFS)))
    except OSError:
        return
    if found:
        raise UserError(f"{path} is a pointer of Git LFS, not the file; fetch that with: git lfs pull")


def sha256_of(data: bytes) -> str:
    """SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError raised while `path` is being written into a UserError that names the path and the reason."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{path} cannot be written ({reason}); name another place or make room") from None


def require_writable(directory: Path) -> None:
    """UserError unless `directory` can be written, or made if it does not exist. For use before long work.

    Leaves nothing behind.
    """
    directory = Path(directory)
    with writing(directory):
        os.rmdir(new_directory(directory))


def require_file_writable(path: Path) -> None:
    """UserError unless a file can be written as `path`, a new one or in place of another. For use before long work.

    Leaves nothing behind.
    """
    with writing(path):
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    require_writable(path.parent)


def new_directory(target: Path) -> Path:
    """Make a hidden, empty directory in `target` or, if that does not exist, in the nearest folder above it that does.

    Its mode is what the umask leaves, as that of all files and directories written here. OSError if it cannot be made.
    """
    place = Path(os.path.realpath(target))
    while not os.path.lexists(place):
        place = place.parent
    path = place / f".moesaic.{secrets.token_hex(6)}"
    path.mkdir()
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file, whole or not at all, making missing directories: yields the path of an empty file that takes its place at the end.

    UserError if it cannot be written.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        # Made by os.open, whose mode is subject to the umask; the files of `tempfile` are their owner's alone.
        os.close(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        mode = stat.S_IMODE(staging.stat().st_mode)
        try:
            yield staging
            os.chmod(staging, mode)  # a library may have put another file there
            os.replace(staging, path)
        except BaseException:
            staging.unlink(missing_ok=True)
            raise


def write_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, making missing directories. UserError if it cannot be written."""
    with replacing(path) as staging:
        staging.write_bytes(content)


def manifest_sha256(manifest: dict) -> str:
    """SHA-256 of a manifest without its own hash, taken of JSON with sorted keys and no spaces; 64 hexadecimal digits."""
    content = {key: value for key, value in json.loads(json.dumps(manifest)).items() if key != MANIFEST_HASH}
    return sha256_of(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def sealed(manifest: dict, files: dict[str, bytes]) -> dict:
    """The manifest with the hash of each file under "files" and its own hash under "sha256".

    files: relative name to content.
    """
    manifest = {**manifest, "files": {name: sha256_of(content) for name, content in sorted(files.items())}}
    return {**manifest, MANIFEST_HASH: manifest_sha256(manifest)}


def write_directory(target: Path, manifest_name: str, manifest: dict, files: dict[str, bytes]) -> None:
    """Write `files` (relative name to content) and the sealed manifest as directory `target`.

    The directory appears whole or not at all. An existing one is replaced only if it is one of ours (it has the manifest); files in
    it that its manifest does not list, such as a bitstream that was put there, are carried over. UserError if it is not ours or
    cannot be written.
    """
    require_writable(Path(target))
    with writing(Path(target)):
        _write_directory(Path(target), manifest_name, sealed(manifest, files), files)


def _write_directory(named: Path, manifest_name: str, manifest: dict, files: dict[str, bytes]) -> None:
    target = Path(os.path.realpath(named))
    if os.path.lexists(target) and not (target / manifest_name).is_file():
        raise UserError(f"{named} exists and has no {manifest_name}: it is not overwritten; name another directory")
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = new_directory(target.parent)
    try:
        for path in _foreign_files(target, manifest_name):
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(target / path, staging / path, follow_symlinks=False)
        for name, content in files.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).unlink(missing_ok=True)
            (staging / name).write_bytes(content)
        (staging / manifest_name).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        _replace(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _foreign_files(directory: Path, manifest_name: str) -> list[Path]:
    """Relative paths of the files below a directory that its manifest does not list; if that is damaged, all but the manifest."""
    try:
        listed = set(json.loads((directory / manifest_name).read_text(encoding="utf-8"))["files"])
    except FileNotFoundError:
        return []
    except (KeyError, TypeError, ValueError):
        listed = set()
    ours = {Path(name) for name in (manifest_name, *listed)}
    paths = (Path(top, name).relative_to(directory) for top, _, names in os.walk(directory) for name in names)
    return sorted(path for path in paths if path not in ours)


def _replace(staging: Path, target: Path) -> None:
    if not target.exists():
        os.rename(staging, target)
        return
    retired = staging.with_name(staging.name + ".old")
    os.rename(target, retired)
    try:
        os.rename(staging, target)
    except BaseException:
        os.rename(retired, target)
        raise
    shutil.rmtree(retired, ignore_errors=True)


def read_json(path: Path, remedy: str) -> Any:
    """The JSON value in a file. remedy: what the error tells the user to do. UserError if it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}): {remedy}") from None


def read_manifest(directory: Path, manifest_name: str, format_name: str, version: int, remedy: str) -> dict:
    """The manifest of a directory. UserError if it is missing, unreadable, altered, or of another format or version.

    remedy: what the error tells the user to do.
    """
    path = Path(directory) / manifest_name
    refuse_lfs_pointer(path)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{directory} is no {format_name}: {manifest_name} is missing; {remedy}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); {remedy}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != format_name or manifest.get("version") != version:
        found = (
            (manifest.get("format"), manifest.get("version")) if isinstance(manifest, dict) else type(manifest).__name__
        )
        raise UserError(f"{path} is {found}, this program reads ({format_name!r}, {version}); {remedy}")
    if not isinstance(manifest.get("files"), dict):
        raise UserError(f"{path} is malformed: it lists no files; {remedy}")
    written, found = manifest.get(MANIFEST_HASH), manifest_sha256(manifest)
    if written != found:
        raise UserError(f"{path} is altered: SHA-256 {found} where {written} was written; {remedy}")
    return manifest


def read_file(directory: Path, manifest: dict, name: str, remedy: str) -> bytes:
    """Content of one file of a directory, checked against the hash in the manifest.

    remedy: what the error tells the user to do. UserError if the file is not listed, missing, unreadable or altered.
    """
    path = Path(directory) / name
    expected = manifest.get("files", {}).get(name)
    if expected is None:
        raise UserError(f"{directory}: {name} is not listed in its manifest; {remedy}")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {remedy}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); {remedy}") from None
    found = sha256_of(content)
    if found != expected:
        refuse_lfs_pointer(path)
        raise UserError(f"{path} is altered: SHA-256 {found} where {expected} was written; {remedy}")
    return content
