"""What the course's directives share: the repository, links between its pages, text
with Markdown in it.
"""

from pathlib import Path

from docutils import nodes
from elements import texts_as_nodes
from sphinx.util.docutils import SphinxDirective


def chapter_name(root: Path, chapter: str) -> str:
    """Return a chapter's number and the title of its page, which may begin with the
    number; its id while it has no page.
    """
    page = root / f"book/{chapter}.md"
    lines = page.read_text(encoding="utf-8").splitlines() if page.is_file() else []
    title = next((line[2:].strip() for line in lines if line.startswith("# ")), "")
    number = f"{int(chapter.split('_')[0])}. "
    return number + title.removeprefix(number) if title else chapter


class CourseDirective(SphinxDirective):
    """A directive that reads the repository's files and writes Markdown and links."""

    @property
    def root(self) -> Path:
        return Path(self.env.srcdir)

    def link(
        self, page: str, *children: nodes.Node | str, anchor: str = ""
    ) -> nodes.reference:
        here = self.env.docname
        uri = "" if page == here else self.env.app.builder.get_relative_uri(here, page)
        target = f"{uri}#{anchor}" if anchor else uri
        return nodes.reference(
            "", "", *texts_as_nodes(children), refuri=target, internal=True
        )

    def markdown(self, text: str) -> list[nodes.Node]:
        return self.parse_inline(text)[0]

    def chapter(self, chapter: str) -> nodes.Node:
        """Return a chapter's name, linked to its page if it has one."""
        name, page = chapter_name(self.root, chapter), f"book/{chapter}"
        return (
            self.link(page, name)
            if page in self.env.found_docs
            else nodes.literal("", name)
        )
