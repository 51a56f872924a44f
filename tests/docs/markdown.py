"""The pages of the repository, taken apart for the tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "docs/decisions/*.md", "bitstreams/*.md")
    for path in REPOSITORY.glob(pattern)
)
_MARKDOWN = MarkdownIt().enable("table")


@dataclass(frozen=True)
class Block:
    """A block of code. language: as the page says, empty for an indented block. line: the first one, from 1."""

    language: str
    text: str
    line: int


def name_of(page: Path) -> str:
    """How tests call a page."""
    return page.relative_to(REPOSITORY).as_posix()


def tokens(page: Path) -> list[Token]:
    return _MARKDOWN.parse(page.read_text())


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """Blocks of code of a page, all or those of a language."""
    found = [
        Block(token.info.strip(), token.content, token.map[0] + 1)
        for token in tokens(page)
        if token.type in ("fence", "code_block") and token.map
    ]
    return [block for block in found if language in (None, block.language)]


def inline(page: Path, kind: str) -> Iterator[Token]:
    """Tokens of a kind inside paragraphs, headings and tables, such as code_inline and link_open."""
    for token in tokens(page):
        for child in token.children or ():
            if child.type == kind:
                yield child


def anchors(page: Path) -> set[str]:
    """What can be linked in a page: its headings, as GitHub and the site name them."""
    found = set()
    for opening, heading in zip(tokens(page), tokens(page)[1:]):
        if opening.type == "heading_open":
            text = "".join(child.content for child in heading.children or () if child.type in ("text", "code_inline"))
            found.add(re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-"))
    return found
