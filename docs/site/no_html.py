"""An extension of Python-Markdown: text in angle brackets is text. Docstrings say <build>/rtl and mean no element."""

from markdown import Markdown
from markdown.extensions import Extension


class NoHtml(Extension):
    """Takes HTML out of Markdown."""

    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.deregister("html_block")
        md.inlinePatterns.deregister("html")
