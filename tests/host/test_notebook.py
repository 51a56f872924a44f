"""The notebook: its cells run in order, on the emulator and on the mock board, and show what they say."""

import ast
import contextlib
import io
import json
import shutil
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOK = REPOSITORY / "examples" / "first_steps.ipynb"


def cells_of(path: Path) -> list[str]:
    notebook = json.loads(path.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    for cell in notebook["cells"]:
        assert cell["cell_type"] in ("code", "markdown") and cell["id"] and cell["source"]
        assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def execute(cells: list[str]) -> tuple[str, list]:
    """What the cells print, and the values that a notebook would show: of the expressions that end a cell."""
    names: dict = {"__name__": "__main__"}
    shown, output = [], io.StringIO()
    with contextlib.redirect_stdout(output):
        for number, cell in enumerate(cells):
            body = ast.parse(cell).body
            last = body.pop() if isinstance(body[-1], ast.Expr) else None
            exec(compile(ast.Module(body, []), f"cell {number}", "exec"), names)
            if last is not None:
                shown.append(eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names))
    return output.getvalue(), [value for value in shown if value is not None]


@pytest.fixture
def workplace(board_build, tmp_path, monkeypatch):
    """The layout that `moesaic deploy` leaves: examples/ beside builds/."""
    (tmp_path / "board" / "examples").mkdir(parents=True)
    shutil.copytree(board_build, tmp_path / "board" / "builds" / "small")
    monkeypatch.chdir(tmp_path / "board" / "examples")
    monkeypatch.syspath_prepend(str(REPOSITORY))
    return tmp_path / "board"


def test_on_the_emulator(workplace, build, no_pynq):
    output, shown = execute(cells_of(NOTEBOOK))
    assert "on the emulator" in output and "the emulator has no power rails" in output
    assert output.count(f"equal in all {build.frame_bytes} bytes: True") == len(build.tasks)
    assert "normals@1x1: " in output and "'integer': 21.5" in output
    result, counters = shown[:2]
    assert result._repr_png_().startswith(b"\x89PNG") and counters["instructions"] > 0


def test_on_the_board(workplace, build, board):
    output, shown = execute(cells_of(NOTEBOOK))
    assert "on the board" in output and "no power rails" in output
    assert output.count(f"equal in all {build.frame_bytes} bytes: True") == len(build.tasks)
    assert shown[1]["cycles"] > 0
    assert board.buffers == []
