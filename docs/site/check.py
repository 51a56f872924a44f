"""Looks at the finished site: every link leads somewhere, nothing is fetched from elsewhere, and the reference has every public name."""

from __future__ import annotations

import functools
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

from docs.site.source import modules, public_names


class _Page(HTMLParser):
    """links: what a reader may follow. loads: what a browser fetches to show the page. anchors: what of it can be linked."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and "href" in values and values.get("rel") != "canonical":
            self.loads.append(values["href"])
        elif "src" in values:
            self.loads.append(values["src"])


@functools.cache
def _page(path: Path) -> _Page:
    return _Page(path.read_text())


def _is_elsewhere(link: str) -> bool:
    return link.startswith(("http:", "https:", "mailto:", "data:", "//"))


def _fault(site: Path, page: Path, link: str) -> str:
    """Why a link within the site leads nowhere; empty if it leads somewhere."""
    place, anchor = urldefrag(unquote(link))
    target = (page.parent / place).resolve() if place else page
    if not target.is_relative_to(site):
        return "leads out of the site"
    if not target.is_file():
        return "there is no such file"
    if target.suffix == ".html" and anchor not in _page(target).anchors:
        return "the page has no such anchor"
    return ""


def _inventory(site: Path) -> set[str]:
    """Names in the reference, from the inventory in Sphinx's format, version 2, that mkdocstrings writes."""
    *_, content = (site / "objects.inv").read_bytes().split(b"\n", 4)
    return {line.partition(" ")[0] for line in zlib.decompress(content).decode().splitlines()}


def problems(site: Path) -> list[str]:
    """One line for each fault of the site in that directory; the mirror must be there."""
    site = site.resolve()
    found = []
    for path in sorted(site.rglob("*.html")):
        page, place = _page(path), path.relative_to(site)
        if place.name == "404.html":  # a server shows it in the place of any path, so its links are those of a root
            continue
        found += [f"{place} fetches {link}" for link in page.loads if _is_elsewhere(link)]
        for link in dict.fromkeys([*page.links, *page.loads]):
            if not _is_elsewhere(link) and (fault := _fault(site, path, link)):
                found.append(f"{place} links {link}: {fault}")
    names = _inventory(site)
    for module, path in modules().items():
        found += [f"the reference has no {name}" for name in public_names(module, path) if name not in names]
    return found
