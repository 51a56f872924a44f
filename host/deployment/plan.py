"""What a deployment does to each file on the board.

A file is ours as long as its content is what a deployment has put there, by the hash in the manifest beside it. Only such files are
replaced or removed. What the user has edited or put there is never lost: it stays, or is renamed where the runtime needs its place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from moesaic.files import MANIFEST_HASH, manifest_sha256
from moesaic.host.deployment.contents import EXAMPLES, Contents

FORMAT, VERSION = "moesaic deployment", 1


def manifest_text(files: dict[str, str]) -> str:
    """The manifest of a board's folder. files: path to SHA-256 of everything that deployments have put there."""
    manifest = {"format": FORMAT, "version": VERSION, "files": files}
    return json.dumps({**manifest, MANIFEST_HASH: manifest_sha256(manifest)}, indent=1, sort_keys=True) + "\n"


def read_manifest_text(text: str | None) -> dict[str, str] | None:
    """The files of a manifest; None if there is none or anyone has altered it, so that nothing is taken for ours by mistake."""
    try:
        manifest = json.loads(text or "")
        sealed = manifest_sha256(manifest) == manifest[MANIFEST_HASH]
        if not sealed or (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
            return None
        files: dict[str, str] = manifest["files"]
        return {path: sha256 for path, sha256 in files.items() if _is_below(path)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_below(path: str) -> bool:
    """Whether a path leads to something in the folder itself."""
    return bool(path) and not path.startswith("/") and ".." not in PurePosixPath(path).parts


def new_beside(path: str) -> str:
    """The name under which our version of an example is written if the user has edited theirs."""
    pure = PurePosixPath(path)
    return str(pure.with_name(f"{pure.stem}.new{pure.suffix}"))


@dataclass
class Plan:
    """Paths, relative to the folder on the board, by what happens to them.

    write: new ones. replace: ours. remove: ours, of an earlier deployment. keep: the user's edited ones that stay where they are.
    edited, foreign: the user's that are renamed because the runtime needs their place: files that deployments had put there, and
    anything else. source: path to write or replace, to the file of the contents that goes there, which has another name where the
    user's version keeps its own. same: ours already. expected: what was found at each path that is touched.
    """

    write: list[str] = field(default_factory=list)
    replace: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    keep: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    source: dict[str, str] = field(default_factory=dict)
    expected: dict[str, str | None] = field(default_factory=dict)
    manifest: dict[str, str] = field(default_factory=dict)


def paths_to_look_at(contents: Contents, *manifests: dict[str, str]) -> list[str]:
    """Every path that a plan has to know about."""
    examples = [new_beside(path) for path in contents.files if path.startswith(EXAMPLES)]
    return sorted({*contents.files, *examples}.union(*manifests))


def make_plan(
    contents: Contents,
    manifest: dict[str, str],
    interrupted: dict[str, str],
    found: dict[str, str],
    blocking: dict[str, str],
) -> Plan:
    """Decide on every file.

    manifest: of the board. interrupted: that of a deployment that was cut off while it put its files in place. found, blocking: as
    on_board.Deployment.look answers, for paths_to_look_at().
    """
    plan = Plan()
    ours = {
        path: {files[path] for files in (manifest, interrupted) if path in files}
        for path in {**manifest, **interrupted}
    }
    for parent, state in blocking.items():
        plan.foreign.append(parent)
        plan.expected[parent] = state
    for path, file in contents.files.items():
        state, sha256 = found.get(path), file.sha256
        edited = state is not None and path in ours and state not in ours[path] and state != sha256
        if edited and path.startswith(EXAMPLES):
            plan.keep.append(path)
            plan.manifest[path] = sha256
            if sha256 in ours[path]:
                continue  # it is this version that was edited
            _place(plan, new_beside(path), path, sha256, found, ours)
        else:
            _place(plan, path, path, sha256, found, ours)
    for path in sorted(ours):
        if path in plan.manifest or path not in found:
            continue
        if contents.is_anothers(path):
            plan.manifest[path] = manifest.get(path) or interrupted[path]
        elif found[path] in ours[path]:
            plan.remove.append(path)
            plan.expected[path] = found[path]
    return plan


def _place(plan: Plan, path: str, source: str, sha256: str, found: dict[str, str], ours: dict[str, set[str]]) -> None:
    state = found.get(path)
    plan.manifest[path] = sha256
    plan.expected[path] = state
    if state == sha256:
        plan.same.append(path)
        return
    plan.source[path] = source
    if state is None:
        plan.write.append(path)
    elif state in ours.get(path, ()):
        plan.replace.append(path)
    else:
        (plan.edited if path in ours else plan.foreign).append(path)
