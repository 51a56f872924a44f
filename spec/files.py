"""Directories of files that carry their own hashes, written atomically and checked when read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from spec.errors import UserError


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_directory(target: Path, manifest_name: str, manifest: dict, files: dict[str, bytes]) -> None:
    """Write `files` (relative name to content) and the manifest, with the hash of each file under "files", as directory `target`.

    The directory appears whole or not at all; one that is already there is replaced only if it is one of ours (has the manifest).
    """
    target = Path(target)
    if target.exists() and not (target / manifest_name).is_file():
        raise UserError(f"{target} exists and has no {manifest_name}: it is not overwritten; name another directory")
    manifest = {**manifest, "files": {name: sha256_of(content) for name, content in sorted(files.items())}}
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        for name, content in files.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_bytes(content)
        (staging / manifest_name).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        staging.chmod(0o755)
        if target.exists():
            retired = staging.with_name(staging.name + ".old")
            os.rename(target, retired)
            os.rename(staging, target)
            shutil.rmtree(retired)
        else:
            os.rename(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def read_manifest(directory: Path, manifest_name: str, format_name: str, version: int, remedy: str) -> dict:
    """The manifest of a directory; a UserError if it is missing, unreadable, of another format or version."""
    path = Path(directory) / manifest_name
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{directory} is no {format_name}: {manifest_name} is missing; {remedy}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); {remedy}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != format_name or manifest.get("version") != version:
        found = (
            (manifest.get("format"), manifest.get("version")) if isinstance(manifest, dict) else type(manifest).__name__
        )
        raise UserError(f"{path} is {found}, this program reads ({format_name!r}, {version}); {remedy}")
    if not isinstance(manifest.get("files"), dict):
        raise UserError(f"{path} is malformed: it lists no files; {remedy}")
    return manifest


def read_file(directory: Path, manifest: dict, name: str, remedy: str) -> bytes:
    """Content of a file of the directory, checked against the hash in the manifest."""
    path = Path(directory) / name
    expected = manifest.get("files", {}).get(name)
    if expected is None:
        raise UserError(f"{directory}: {name} is not listed in its manifest; {remedy}")
    try:
        content = path.read_bytes()
    except OSError:
        raise UserError(f"{path} is missing; {remedy}") from None
    found = sha256_of(content)
    if found != expected:
        raise UserError(f"{path} is altered: SHA-256 {found} where {expected} was written; {remedy}")
    return content
