"""Pages of the source files that the documentation links to.

In a repository browser a link such as `../pipeline/topics.py` leads to the file. On the site it leads to a page with
the file's text, and one of a directory to a page that lists its files. Of a link to what is not there MyST warns.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any

from docutils import nodes
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform

FOLDER = "source"


def page_of(path: str) -> str:
    return f"{FOLDER}/{path}"


class LinksToSources(SphinxTransform):
    """What MyST takes for a download, or for nothing, becomes a link to a page of the source."""

    default_priority = 10

    def apply(self, **_: Any) -> None:
        sources: set[str] = self.env.metadata[self.env.docname].setdefault("sources", set())
        links = [
            *self.document.findall(addnodes.download_reference),
            *(node for node in self.document.findall(addnodes.pending_xref) if not node.get("refdomain")),
        ]
        for node in links:
            if (path := self._source(node["reftarget"])) is not None:
                sources.add(path)
                uri = self.app.builder.get_relative_uri(self.env.docname, page_of(path))
                node.replace_self(nodes.reference("", "", *node.children, internal=True, refuri=uri))

    def _source(self, target: str) -> str | None:
        root = Path(self.env.srcdir)
        found = (self.env.doc2path(self.env.docname).parent / target).resolve()
        return str(found.relative_to(root)) if found.exists() and found.is_relative_to(root) else None


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    if not isinstance(app.builder, StandaloneHTMLBuilder):
        return
    linked = {path for metadata in app.env.metadata.values() for path in metadata.get("sources", ())}
    listed = {path: _files(app.env, path) for path in linked if (app.srcdir / path).is_dir()}
    for path in sorted(linked.union(*listed.values()) - set(listed)):
        yield page_of(path), {"title": path, "body": _text(app.builder, path)}, "page.html"
    for path, files in sorted(listed.items()):
        yield page_of(path), {"title": path, "body": _list(app.builder, path, files)}, "page.html"


def _files(env: BuildEnvironment, directory: str) -> list[str]:
    root = Path(env.srcdir)
    return sorted(
        str(path.relative_to(root))
        for path in (root / directory).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and "target" not in path.parts
    )


def _text(builder: StandaloneHTMLBuilder, path: str) -> str:
    text = (builder.srcdir / path).read_text(encoding="utf-8")
    try:
        language = get_lexer_for_filename(PurePosixPath(path).name).aliases[0]
    except ClassNotFound:
        language = "text"
    shown = builder.highlighter.highlight_block(text, language, linenos="inline", force=True)
    return f"<h1>{escape(path)}</h1>\n{shown}"


def _list(builder: StandaloneHTMLBuilder, directory: str, files: list[str]) -> str:
    items = (
        f'<li><a href="{escape(builder.get_relative_uri(page_of(directory), page_of(path)))}">{escape(path)}</a></li>'
        for path in files
    )
    return f"<h1>{escape(directory)}</h1>\n<ul>{''.join(items)}</ul>"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(LinksToSources)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
