"""host, spec and the modules they stand on run on a board: Python 3.10 to 3.12, numpy 1 and 2, and nothing else."""

import ast
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# Tables in the terminal of a workstation, and campaigns; `test_what_stays_on_the_workstation` says who may import them.
WORKSTATION = (REPOSITORY / "moesaic" / "pages" / "terminal.py", *(REPOSITORY / "moesaic" / "campaign").glob("*.py"))
FILES = sorted(
    path
    for package in ("host", "spec", "moesaic")
    for path in (REPOSITORY / package).rglob("*.py")
    if path not in WORKSTATION
)
TREES = {path.relative_to(REPOSITORY): ast.parse(path.read_text(), feature_version=(3, 10)) for path in FILES}

# Imported where they are used, with a word for the user where they are missing.
OPTIONAL = {"pynq", "PIL", "cv2"}
# tomllib came with Python 3.11; a build holds its configuration, so a board never reads one from TOML.
AFTER_3_10 = {"tomllib": {"spec/board.py", "spec/configuration.py"}}

# Main namespace, from numpy's release notes of 2.0 to 2.3.
ONLY_IN_NUMPY_2 = (
    "acos acosh asin asinh atan atan2 atanh astype bitwise_count bitwise_invert bitwise_left_shift bitwise_right_shift bool concat "
    "cumulative_prod cumulative_sum isdtype long matrix_transpose matvec permute_dims pow strings trapezoid ulong unique_all "
    "unique_counts unique_inverse unique_values unstack vecdot vecmat"
)
ONLY_IN_NUMPY_1 = (
    "Inf Infinity NAN NINF NZERO NaN PINF PZERO add_newdoc alltrue asfarray bool8 byte_bounds cast cfloat complex_ compat cumproduct "
    "deprecate disp find_common_type float_ in1d infty int0 issctype issubclass_ longfloat mat maximum_sctype msort nbytes obj2sctype "
    "product recfromcsv recfromtxt row_stack round_ safe_eval sctype2char sctypes set_string_function singlecomplex sometrue "
    "string_ trapz unicode_ void0 uint0"
)


def imported(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", TREES, ids=str)
def test_imports(path):
    """The standard library, numpy, our own package, and what may be missing."""
    allowed = sys.stdlib_module_names | {"numpy", "moesaic"} | OPTIONAL | set(AFTER_3_10)
    assert imported(TREES[path]) <= allowed
    for module, files in AFTER_3_10.items():
        assert module not in imported(TREES[path]) or str(path) in files


def test_what_stays_on_the_workstation():
    """It needs rich, and campaigns Dask, which a board has not."""
    for path, tree in TREES.items():
        modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert "moesaic.pages.terminal" not in modules, path
        assert not any(module.startswith("moesaic.campaign") for module in modules), path


def test_optional_packages_are_imported_in_functions():
    for path, tree in TREES.items():
        top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = imported(ast.Module(top, []))
        assert not names & (OPTIONAL | set(AFTER_3_10)), path


def test_numpy_api_of_both_major_versions():
    """Names of numpy's main namespace; that they give the same integers, the tests of both say (see docs/board.md)."""
    used = {
        node.attr
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np"
    }
    assert len(used) > 20
    assert not used & set(ONLY_IN_NUMPY_1.split()) and not used & set(ONLY_IN_NUMPY_2.split())


def test_every_annotation_is_postponed():
    """Unions like `int | None` in annotations are only text then; what runs is checked by parsing as Python 3.10."""
    for path in FILES:
        text = path.read_text()
        if "def " in text and path.name != "__init__.py":
            assert "from __future__ import annotations" in text, path


def test_the_board_extra_is_pynq_alone():
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11 to read pyproject.toml")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == ["numpy"] and project["requires-python"] == ">=3.10"
    assert [name.partition(">")[0] for name in project["optional-dependencies"]["board"]] == ["pynq"]
