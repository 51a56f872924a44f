"""What the site is made of, and that its check sees what is wrong. The generator itself runs in `make docs` alone."""

import runpy
import zlib
from pathlib import Path

import pytest
import tomllib

from docs.site import check, source
from docs.site.field_lists import as_list
from tests.docs.markdown import REPOSITORY, name_of

SETTINGS = tomllib.loads((REPOSITORY / "docs/site/zensical.toml").read_text())["project"]


@pytest.fixture(scope="module", autouse=True)
def mirror() -> None:
    runpy.run_path(str(REPOSITORY / "mirror.py"), run_name="__main__")


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site") / "source"
    source.assemble(target)
    return target


def test_every_public_module_has_a_reference_page(assembled):
    packages = [path.parent for path in REPOSITORY.glob("*/__init__.py")]
    files = [path for package in packages for path in package.rglob("*.py") if "__pycache__" not in path.parts]
    public = [path for path in files if not path.stem.startswith("_") or path.stem == "__init__"]
    assert len(source.modules()) == len(public)
    for module in source.modules():
        assert (assembled / f"reference/{module}.md").read_text() == f"::: {module}\n"
        assert f"[{module}]({module}.md)" in (assembled / "reference/index.md").read_text()


def test_public_names_are_those_without_an_underscore(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import os\nfrom a import b\nLIMIT: int = 3\nA, _B = 1, 2\ndef _hidden(): ...\ndef shown(): inner = 1\n"
        "class Shape:\n    size: int\n    _private = 1\n    def area(self): ...\n    class Kind: ...\n"
    )
    names = [name.removeprefix("m").removeprefix(".") for name in source.public_names("m", path)]
    assert names == ["", "LIMIT", "A", "shown", "Shape", "Shape.size", "Shape.area", "Shape.Kind"]


def test_every_page_is_in_the_navigation(assembled):
    """But for decisions, which have their index, and the reference."""

    def places(entries):
        for entry in entries:
            if isinstance(entry, str):
                yield entry
            else:
                for value in entry.values():
                    yield from places(value if isinstance(value, list) else [value])

    found = list(places(SETTINGS["nav"]))
    assert all((assembled / place).is_file() for place in found)
    pages = {name_of(page) for page in source.pages()} - {"README.md"}
    assert {page for page in pages if not page.startswith("docs/decisions/")} <= set(found)
    decisions = (assembled / "docs/decisions/index.md").read_text()
    assert all(f"({page.name})" in decisions for page in source.pages() if page.parent.name == "decisions")


def test_links_to_code_become_links_to_its_reference(assembled):
    text = (assembled / "docs/tasks.md").read_text()
    assert "(../reference/moesaic.model.tasks.definitions.md)" in text
    assert "(docs/architecture.md)" in (assembled / "index.md").read_text()


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """Two pages and the reference of one module with one name."""
    module = tmp_path / "module.py"
    module.write_text("LIMIT = 3\n")
    monkeypatch.setattr(check, "modules", lambda: {"m": module})
    (tmp_path / "site").mkdir()
    write(
        tmp_path / "site",
        '<h1 id="top">A</h1><a href="b.html#part">b</a><a href="https://example.org">c</a>',
        "m",
        "m.LIMIT",
    )
    (tmp_path / "site/b.html").write_text('<h1 id="part">B</h1><img src="picture.png">')
    (tmp_path / "site/picture.png").touch()
    return tmp_path / "site"


def write(site: Path, text: str, *names: str) -> None:
    (site / "a.html").write_text(text)
    lines = "".join(f"{name} py:data 1 reference/m.html#$ -\n" for name in names)
    (site / "objects.inv").write_bytes(b"# v2\n# Project\n# Version\n# zlib\n" + zlib.compress(lines.encode()))
    check._page.cache_clear()


def test_a_sound_site_has_no_problem(site):
    assert check.problems(site) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('<a href="c.html">c</a>', "a.html links c.html: there is no such file"),
        ('<a href="b.html#whole">b</a>', "a.html links b.html#whole: the page has no such anchor"),
        ('<a href="../module.py">m</a>', "a.html links ../module.py: leads out of the site"),
        ('<script src="https://example.org/x.js"></script>', "a.html fetches https://example.org/x.js"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "a.html fetches //example.org/x.css"),
        ('<img src="other.png">', "a.html links other.png: there is no such file"),
    ],
)
def test_problems(site, text, problem):
    write(site, text, "m", "m.LIMIT")
    assert check.problems(site) == [problem]


def test_a_name_that_the_reference_lacks(site):
    write(site, "", "m")
    assert check.problems(site) == ["the reference has no m.LIMIT"]


def test_fields_of_a_docstring_become_a_list():
    """A line each, also for several names; what is indented or in the middle of a sentence stays."""
    text = (
        "Sizes of one thing.\n\nname: of it. other: in the same line.\nrows, columns: at least 1,\n    at most 4.\n"
        "Returns\nnothing: so it is.\n\nArgs:\n    name: of it."
    )
    assert as_list(text) == (
        "Sizes of one thing.\n\n- `name`: of it. other: in the same line.\n- `rows`, `columns`: at least 1,\n    at most 4.\n"
        "Returns\nnothing: so it is.\n\nArgs:\n    name: of it."
    )
    assert as_list("What it does.\nsize: in bytes.") == "What it does.\n\n- `size`: in bytes."
