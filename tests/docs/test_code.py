"""docs/code.md against the tree: it names every room. That what it names is there, tests/docs/test_links.py sees."""

import re

from tests.docs.markdown import REPOSITORY

PAGE = (REPOSITORY / "docs" / "code.md").read_text()
ROOMS = [path.parent for path in REPOSITORY.glob("*/__init__.py")]


def packages() -> set[str]:
    """Every folder that is a package, as the page names it."""
    return {
        f"{path.parent.relative_to(REPOSITORY).as_posix()}/" for room in ROOMS for path in room.rglob("__init__.py")
    }


def test_every_package_has_its_sentence_and_nothing_else_has():
    assert len(ROOMS) >= 7
    named = re.findall(r"^\| `([\w/]+/)` \| ", PAGE, re.MULTILINE)
    assert len(named) == len(set(named))
    assert set(named) == packages()
