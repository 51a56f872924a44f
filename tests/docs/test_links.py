"""Links of the pages, and the files and names that they mention: all of them are there."""

import re
import runpy
from pathlib import Path

import pytest

from docs.site.source import modules, public_names
from tests.docs.markdown import PAGES, REPOSITORY, anchors, inline, name_of

_PATH = re.compile(r"(?:spec|model|hls|sim|host|moesaic|configs|tests|docs|examples|bitstreams)/[\w./-]+")
_NAME = re.compile(r"moesaic(?:\.\w+)+")
# Made on a board or by a command.
_MADE = ("moesaic/moesaic", "moesaic/python", "moesaic/builds")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for token in (*inline(page, "link_open"), *inline(page, "image")):
        link = str(token.attrs.get("href", token.attrs.get("src")))
        if link.startswith(("http:", "https:")):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{link}: there is no such file"
        assert target.is_relative_to(REPOSITORY)
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_in_the_text_are_there(page):
    for token in inline(page, "code_inline"):
        if _PATH.fullmatch(token.content) and not token.content.startswith(_MADE) and "NAME" not in token.content:
            assert any(REPOSITORY.glob(token.content)), f"there is no {token.content}"


@pytest.fixture(scope="module")
def names() -> set[str]:
    """Every public name of moesaic, also without its module's path where moesaic itself has it."""
    runpy.run_path(str(REPOSITORY / "mirror.py"), run_name="__main__")
    found = {name for module, path in modules().items() for name in public_names(module, Path(path))}
    groups = {"moesaic.commands", "moesaic.executors", "moesaic.tasks", "moesaic.datasets"}  # of entry points
    return found | groups | {"moesaic.open", "moesaic.Image"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_names_in_the_text_are_there(page, names):
    for token in inline(page, "code_inline"):
        for name in _NAME.findall(token.content):
            assert name in names or (REPOSITORY / name).is_file(), f"{name} in `{token.content}`"
