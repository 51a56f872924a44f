"""The folder of a run: what is needed to know later how its checkpoint came about."""

import json
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from moesaic.errors import UserError
from moesaic.files import read_json, write_file
from moesaic.installation import checkout
from moesaic.model.recipes.recipe import Recipe

CHECKPOINT, RECIPE, ENVIRONMENT, LOG = "model.safetensors", "recipe.json", "environment.json", "log.jsonl"
_PACKAGES = ("moesaic", "numpy", "pillow", "safetensors", "scipy", "torch")


def write_run_folder(folder: Path, recipe: Recipe, device: str, ranks: int, resumed: bool) -> None:
    """Write the recipe, and what it runs on, into the folder of a run, making it if it is missing.

    `recipe.json` has all entries, as a checkpoint has them. `environment.json` has a list with an entry for each start of the run, one
    if it is not `resumed`: command line, versions of Python and packages, machine, device, number of processes, and the state of the
    git repositories of moesaic and of the directory in which it was started. UserError if the folder cannot be written, or if what it
    has of earlier starts cannot be read.
    """
    path = folder / ENVIRONMENT
    starts = _starts(path) if resumed else []
    write_file(folder / RECIPE, _json(recipe.to_dict()))
    write_file(path, _json([*starts, _environment(device, ranks)]))


def _starts(path: Path) -> list:
    """The earlier starts of a run, none if it has no file of them."""
    if not path.is_file():
        return []
    remedy = "take its own copy, or delete it"
    starts = read_json(path, remedy)
    if not isinstance(starts, list):
        raise UserError(f"{path} is no list of starts: {remedy}")
    return starts


def _environment(device: str, ranks: int) -> dict:
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "machine": platform.platform(),
        "processor": platform.machine(),
        "device": device,
        "processes": ranks,
        "git": {
            name: state
            for name, directory in (("moesaic", checkout()), ("directory", Path.cwd()))
            if directory is not None and (state := git_state(directory))
        },
    }


def git_state(directory: Path) -> dict | None:
    """The commit that is checked out in a directory, and the files that differ from it; None if it is in no git repository."""
    if shutil.which("git") is None or not (commit := _git(directory, "rev-parse", "HEAD")):
        return None
    changed = _git(directory, "status", "--porcelain") or ""
    return {"commit": commit, "changed": [line[2:].strip() for line in changed.splitlines()]}


def _git(directory: Path, *words: str) -> str | None:
    done = subprocess.run(["git", "-C", str(directory), *words], capture_output=True, text=True, check=False)
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"
