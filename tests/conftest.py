"""For all tests: nothing is kept outside of the repository."""

from collections.abc import Iterator
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parents[1] / "build" / "test-cache"


@pytest.fixture(scope="session", autouse=True)
def cache_below_the_repository() -> Iterator[None]:
    """Compiled emulators go below build/ instead of the user's cache; they stay there, for the next run of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(CACHE))
        yield


@pytest.fixture
def without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles with empty ONNX files, whose making takes most of the time of an export. What they hold is tests/model/test_export.py's."""
    monkeypatch.setattr("moesaic.model.export.onnx_export.export_onnx", lambda model, tasks: b"")
