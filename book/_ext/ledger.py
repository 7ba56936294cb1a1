"""The claims ledger on the page, made from book/claims/*.yml while the book is built.

    ```{ledger-summary}          counts by verdict; answered claims of each chapter
    ```{ledger}                  every claim: verdict, reason, evidence; with a filter
    ```{ledger} 03_kv_cache      one chapter's claims in short, linked to the ledger

A call is called, and a tagged cell's recorded numbers are read, at that moment. A file
that is not in order stops the build. Evidence that is not there is a warning, and the
build treats warnings as errors. Cells tagged `claim-...` or `topic-...` get that tag as
their anchor.
"""

from pathlib import Path

import yaml
from coursepage import CourseDirective, chapter_name
from docutils import nodes
from elements import choice, element, html, table
from sphinx.errors import ExtensionError
from sphinx.util.logging import getLogger

from course_lib.course.ledger.claims import (
    VERDICTS,
    Claim,
    coverage,
    read_claims,
    verdict_counts,
)
from course_lib.course.ledger.evidence import (
    Called,
    Recorded,
    TaggedCells,
    anchors,
    look_up,
)
from course_lib.kit.values import Value

LOG = getLogger(__name__)
CLAIMS, CURRICULUM, PAGE = "book/claims", "book/curriculum.yml", "book/ledger"
RUNS = "book/recorded_runs"
MEANINGS = {
    "holds": "As stated, in what we ran.",
    "holds-with-qualification": "True within limits that the guide does not name, or "
    "not quite as it says.",
    "wrong-or-outdated": "What we ran, or a first-hand source, says otherwise.",
    "cannot-be-verified": "Not published, or beyond what this course can run.",
}
# One shape each: a verdict can be told without its colour.
SHAPES = {
    "holds": '<circle cx="8" cy="8" r="7"/><path d="M4.5 8.5 7 11l4.5-5.5"/>',
    "holds-with-qualification": '<path d="M8 .8 15.2 8 8 15.2.8 8z"/><path d="M8 '
    '4.5v4M8 11v.2"/>',
    "wrong-or-outdated": '<path d="M1.5 1.5h13v13h-13z"/><path d="m5 5 6 6m0-6-6 6"/>',
    "cannot-be-verified": '<path d="M8 1 15.5 14.5H.5z" stroke-dasharray="2 '
    '1.4"/><path d="M8 6v4M8 12v.2"/>',
}


def badge(verdict: str) -> element:
    """Return a verdict as its shape and its name."""
    shape = (
        '<svg viewBox="0 0 16 16" aria-hidden="true" '
        f'focusable="false">{SHAPES[verdict]}</svg>'
    )
    picture = nodes.raw("", shape, format="html")
    return html("span", picture, VERDICTS[verdict], class_=f"ledger-verdict {verdict}")


def load(root: Path) -> tuple[tuple[Claim, ...], dict]:
    """Return the claims of the book and the curriculum.

    Raises:
        ValueError: from `read_claims`, with every problem of the files.
    """
    curriculum = yaml.safe_load((root / CURRICULUM).read_text(encoding="utf-8"))
    return read_claims(root / CLAIMS, curriculum), curriculum


def looked_up(
    root: Path, claim: Claim
) -> list[TaggedCells | Called | Recorded | dict | ValueError]:
    """Return the evidence of a claim, looked up; an error stands in the place of what
    is not there.
    """
    found = []
    for number, item in enumerate(claim.evidence, start=1):
        try:
            found.append(look_up(root, item))
        except ValueError as error:
            found.append(ValueError(f"{claim.where}: evidence {number}: {error}"))
    return found


def in_words(counts: dict[str, int]) -> str:
    """Return counts as prose.

    >>> counts = dict.fromkeys(("wrong-or-outdated", "cannot-be-verified"), 0)
    >>> in_words(counts | {"holds": 6, "holds-with-qualification": 1})
    '7 claims. Holds: 6. Holds with a qualification: 1.'
    """
    total = sum(counts.values())
    parts = [
        f"{VERDICTS[verdict]}: {count}." for verdict, count in counts.items() if count
    ]
    return " ".join([f"{total} claim{'' if total == 1 else 's'}.", *parts])


class LedgerDirective(CourseDirective):
    """What the directives share: the data."""

    def data(self) -> tuple[tuple[Claim, ...], dict]:
        """Return claims and curriculum; the build stops if they are not in order."""
        for path in [self.root / CURRICULUM, *(self.root / CLAIMS).glob("*.yml")]:
            self.env.note_dependency(path.relative_to(self.root).as_posix())
        try:
            return load(self.root)
        except ValueError as error:
            raise ExtensionError(
                f"the claims ledger is not in order:\n{error}"
            ) from error


class Summary(LedgerDirective):
    """Counts by verdict, and what each chapter has answered."""

    def run(self):
        self.env.note_reread()
        claims, curriculum = self.data()
        counts = verdict_counts(claims)
        by_verdict = [
            (badge(verdict), MEANINGS[verdict], str(count))
            for verdict, count in counts.items()
        ]
        by_chapter = [
            (self.chapter(chapter), str(answered), str(listed))
            for chapter, (answered, listed) in coverage(claims, curriculum).items()
        ]
        return [
            table(["Verdict", "Meaning", "Claims"], by_verdict),
            table(["Chapter", "Answered", "Claims in the guide"], by_chapter),
        ]


class Ledger(LedgerDirective):
    """All claims in full, or one chapter's in short."""

    optional_arguments = 1

    def run(self):
        claims, _ = self.data()
        if not self.arguments:
            # A call may return something else, though no file of this page changed.
            self.env.note_reread()
            return self.in_full(claims)
        chapter = self.arguments[0]
        chosen = [claim for claim in claims if claim.chapter == chapter]
        if not chosen:
            known = ", ".join(sorted({claim.chapter for claim in claims}))
            raise self.error(f"ledger: {chapter!r} has no claims; allowed are {known}")
        return self.in_short(chosen)

    def in_short(self, claims: list[Claim]) -> list[nodes.Node]:
        rows = []
        for claim in claims:
            link = self.link(
                PAGE, *self.markdown(claim.claim), anchor=f"claim-{claim.id}"
            )
            rows.append(html("li", badge(claim.verdict), " ", link))
        return [
            html("p", in_words(verdict_counts(claims))),
            html("ul", *rows, class_="ledger-short"),
        ]

    def in_full(self, claims: tuple[Claim, ...]) -> list[nodes.Node]:
        chapters = list(dict.fromkeys(claim.chapter for claim in claims))
        sections = [
            nodes.section(
                "",
                nodes.title("", chapter_name(self.root, chapter)),
                *(self.entry(claim) for claim in claims if claim.chapter == chapter),
                ids=[f"chapter-{chapter.replace('_', '-')}"],
                classes=["ledger-chapter"],
            )
            for chapter in chapters
        ]
        return [self.filter_form(claims, chapters), *sections]

    def filter_form(self, claims: tuple[Claim, ...], chapters: list[str]) -> element:
        """Return the filter, hidden: the script that serves it also shows it."""
        counts = verdict_counts(claims)
        by_chapter = [
            (chapter, chapter_name(self.root, chapter)) for chapter in chapters
        ]
        by_verdict = [
            (verdict, f"{name} ({counts[verdict]})")
            for verdict, name in VERDICTS.items()
        ]
        return html(
            "form",
            html(
                "div",
                *choice("ledger-by-chapter", "Chapter", "All chapters", by_chapter),
            ),
            html(
                "div",
                *choice("ledger-by-verdict", "Verdict", "All verdicts", by_verdict),
            ),
            html("button", "Show all", type="reset"),
            html(
                "p",
                f"{len(claims)} of {len(claims)} claims",
                role="status",
                aria_live="polite",
            ),
            class_="ledger-filter",
            autocomplete="off",
            aria_label="Filter the claims",
            hidden="",
        )

    def entry(self, claim: Claim) -> element:
        """Return one claim in full."""
        sections = "sections" if " and " in claim.section else "section"
        source = f" Guide {claim.document}, {sections} {claim.section}. "
        name = self.link(
            self.env.docname, nodes.literal("", claim.id), anchor=f"claim-{claim.id}"
        )
        evidence = [
            html("li", *self.shown(item)) for item in looked_up(self.root, claim)
        ]
        return html(
            "article",
            html("h3", *self.markdown(claim.claim)),
            html("p", badge(claim.verdict), source, name, class_="ledger-meta"),
            html("p", *self.markdown(claim.reason)),
            html("ul", *evidence, class_="ledger-evidence"),
            id=f"claim-{claim.id}",
            class_=f"ledger-claim {claim.verdict}",
            data_chapter=claim.chapter,
            data_verdict=claim.verdict,
        )

    def shown(
        self, item: TaggedCells | Called | Recorded | dict | ValueError
    ) -> list[nodes.Node | str]:
        """Return one piece of evidence as its line in the list."""
        if isinstance(item, ValueError):
            LOG.warning("%s", item, location=self.get_location())
            return [html("strong", "Not there: "), str(item)]
        if isinstance(item, TaggedCells):
            return self.cells(item)
        if isinstance(item, Called):
            return [
                "Call ",
                nodes.literal("", item.code),
                " = ",
                html("strong", item.text()),
            ]
        if isinstance(item, Recorded):
            name = nodes.literal("", item.name)
            link = self.link(RUNS, name, anchor=f"run-{item.name.replace('_', '-')}")
            return ["Recorded run ", link, f": {'; '.join(item.lines)}."]
        if "test" in item:
            return ["Test ", nodes.literal("", item["test"])]
        section = f", section {item['section']}" if "section" in item else ""
        says = f": {', '.join(item['says'])}" if "says" in item else ""
        return [*self.markdown(f"{{cite:t}}`{item['citation']}`"), section + says]

    def cells(self, item: TaggedCells) -> list[nodes.Node | str]:
        """Return links to the tagged cells, by the heading they stand under, and what
        they recorded.
        """
        page = f"notebooks/{item.notebook}"
        number = item.notebook.split("/")[1].split("_")[0]
        line = [
            f"Notebook {number}, ",
            html("i", *self.markdown(item.title)),
            " Shown under ",
        ]
        for count, (anchor, heading) in enumerate(item.places):
            line += [
                "; " if count else "",
                self.link(page, *self.markdown(heading), anchor=anchor),
            ]
        values = [
            html("li", *self.value(page, anchor, value))
            for anchor, value in item.values
        ]
        recorded = html(
            "ul", *values, class_="ledger-values", aria_label="Recorded values"
        )
        return [*line, ".", recorded] if values else [*line, "."]

    def value(self, page: str, anchor: str, value: Value) -> list[nodes.Node | str]:
        number = self.link(page, value.text(), anchor=anchor)
        number["classes"] = ["measured"]
        return [nodes.literal("", value.name), " ", number]


def anchor_cells(app, doctree):
    """Give each cell that is tagged `claim-...` or `topic-...` the anchor that the
    ledger links to.
    """
    tagged: dict[str, list] = {}
    for cell in doctree.findall(nodes.container):
        for name in cell["classes"]:
            if name.startswith(("tag_claim-", "tag_topic-")):
                tagged.setdefault(name.removeprefix("tag_"), []).append(cell)
    for tag, cells in sorted(
        tagged.items()
    ):  # a claim's anchor comes first: it is the id of the cell itself
        for cell, name in zip(cells, anchors(tag, len(cells)), strict=True):
            cell["ids"].append(name)


def setup(app):
    """Register the directives, their style and script, and the anchors of tagged
    cells.
    """
    app.setup_extension("elements")
    app.add_directive("ledger", Ledger)
    app.add_directive("ledger-summary", Summary)
    app.connect("doctree-read", anchor_cells)
    app.add_css_file("ledger.css")
    app.add_js_file("ledger.js", loading_method="defer")
    return {"version": "1", "parallel_read_safe": True}
