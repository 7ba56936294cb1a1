"""The search of the site: an index of sections, made when the book is built.

Sphinx indexes pages, and asks for each page again to show an excerpt, which a browser
refuses a page from a folder. Here a section is one entry with its heading and its text,
so that a hit opens where it stands and the excerpt is at hand. The entries of the index
of terms say which section teaches a term, and what its synonyms are. Cards are left
out: they ask for what the pages teach. A page with `nosearch: true` in its head is left
out whole.

The scripts in book/_static/search rank (`rank`), show (`page`) and mark (`marks`).
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from elements import element
from sphinx import addnodes

from course_lib.course.cards.plain import plain

SILENT = (
    *(nodes.raw, nodes.comment, nodes.image, nodes.system_message),
    *(nodes.math_block, nodes.literal_block),  # no words of a sentence
)
SECTION_MOST = 6000  # characters; of a longer one the start will do
SCRIPTS = ("search/words.js", "search/rank.js", "search/index.js", "search/page.js")


def kind(docname: str) -> str:
    """Return what sort of page it is: chapters teach, the others are for looking up.

    >>> kind("book/03_kv_cache"), kind("book/03_kv_cache_reference")
    ('chapter', 'reference')
    >>> kind("notebooks/03_kv_cache/01_why_cache"), kind("book/ledger")
    ('notebook', 'other')
    """
    folder, _, name = docname.partition("/")
    if folder in ("notebooks", "labs"):
        return folder.removesuffix("s")
    if not re.match(r"\d\d_", name):
        return "notation" if name == "notation" else "other"
    return "reference" if name.endswith("reference") else "chapter"


class Reader:
    """Reads the sections of one page's tree."""

    def __init__(self, labels: dict) -> None:
        self.labels = labels

    def sections(self, tree: nodes.Node) -> Iterator[tuple[list[str], str, str]]:
        """Yield (anchors, heading, text) of each section, in order."""
        for section in filter(is_headed, tree.findall(nodes.section)):
            title, *rest = section.children
            inner = [self.text(child) for child in rest if not is_headed(child)]
            text = tidy(" ".join(inner))[:SECTION_MOST]
            yield list(section["ids"]), tidy(self.text(title)), text

    def text(self, node: nodes.Node) -> str:
        """Return what a reader sees of a node, formulas in Unicode."""
        if isinstance(node, nodes.Text):
            return node.astext()
        if isinstance(node, nodes.math):
            return plain(f"${node.astext()}$")
        if isinstance(node, SILENT) or is_card(node) or is_output(node):
            return ""
        if isinstance(node, addnodes.pending_xref) and self.unnamed(node):
            return self.labels[node["reftarget"]][2]
        block = not isinstance(node, nodes.Inline)
        joined = "".join(map(self.text, node.children))
        return f" {joined} " if block else joined

    def unnamed(self, node: addnodes.pending_xref) -> bool:
        """Say whether a reference takes its words from the heading it leads to."""
        return (
            node.get("reftype") == "ref"
            and not node.get("refexplicit")
            and node.get("reftarget") in self.labels
        )


def is_headed(node: nodes.Node) -> bool:
    """Say whether a node is a section with a heading of its own."""
    return isinstance(node, nodes.section) and isinstance(node[0], nodes.title)


def is_card(node: nodes.Node) -> bool:
    return isinstance(node, element) and "data-deck" in node["html"]


def is_output(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Element) and "cell_output" in node.get("classes", [])


def tidy(text: str) -> str:
    """Return text on one line.

    >>> tidy(" two\\n  words ")
    'two words'
    """
    return " ".join(text.split())


def index(env) -> dict:
    """Return pages, sections and terms, as the scripts read them."""
    labels = env.get_domain("std").labels
    pages, sections, places = [], [], {}
    for docname in sorted(env.found_docs):
        metadata = env.metadata[docname]
        if "nosearch" in metadata or "no-search" in metadata:
            continue
        here = len(pages)
        read = Reader(labels).sections(env.get_doctree(docname))
        for anchors, heading, text in read:
            if len(pages) == here:
                pages.append([docname, heading, kind(docname)])
                places[docname, ""] = len(sections)
            for anchor in anchors:
                places[docname, anchor] = len(sections)
            first = anchors[0] if anchors else ""
            sections.append([here, first, heading, text])
    terms = [
        [names, means, [[places[at], sure] for at, sure in taught if at in places]]
        for names, means, taught in getattr(env, "course_terms", [])
    ]
    return {"pages": pages, "sections": sections, "terms": terms}


def write_index(app, exception):
    """Write the index beside the scripts that read it."""
    if exception or app.builder.format != "html":
        return
    text = json.dumps(index(app.env), ensure_ascii=False, separators=(",", ":"))
    target = Path(app.outdir) / "_static" / "search" / "index.js"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(
        f"(globalThis.courseSearch ??= {{}}).index = {text};\n", encoding="utf-8"
    )


def add_scripts(app, pagename, templatename, context, doctree):
    """Give the page of results what ranks and shows them."""
    if pagename == "search":
        for priority, name in enumerate(SCRIPTS, start=300):
            app.add_js_file(name, priority=priority, loading_method="defer")


def setup(app):
    """Write the index at the end; every page marks what a reader searched for."""
    app.setup_extension("elements")
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", write_index)
    app.add_css_file("search/search.css")
    app.add_js_file("search/marks.js", loading_method="defer")
    return {"version": "1", "parallel_read_safe": True}
