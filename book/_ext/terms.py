"""The index of terms on the page, made while the book is built.

    ```{index-of-terms}

A term, what it is, its file and function come from the headers of the modules
(`course_lib.course.terms.headers`); where it is taught is looked up in the pages,
notebooks, labs and cards (`course_lib.course.terms.places`). Every name has an anchor:
`[GQA](#term-gqa)` on any page leads to its entry. A header that is not in order stops
the build.
"""

from collections import Counter
from itertools import groupby

from coursepage import CourseDirective
from docutils import nodes
from elements import choice, element, html
from sphinx.errors import ExtensionError

from course_lib.course.terms.headers import TO_COME, Term, read_terms, slug
from course_lib.course.terms.places import Course, Taught
from course_lib.course.terms.sources import Place

SHOWN = 4  # links in a line; the others are folded
FLOORS = {
    "layers": "Layers",
    "kernels": "Kernels",
    "models": "Models",
    "specs": "Model records",
    "costs": "Costs",
    "tasks": "Tasks and data",
    "train": "Training",
    "generate": "Generation",
    "evaluate": "Evaluation",
    "simulate": "Serving",
    "decide": "Choosing",
    "": "To come",
}


def floor(term: Term) -> str:
    """Return the floor of the library that holds a term; "" for a term to come."""
    return "" if term.chapter else term.path.split("/")[1]


def letter(name: str) -> str:
    """Return the heading that a name stands under.

    >>> letter("attention"), letter("2D positions")
    ('A', '0-9')
    """
    first = slug(name)[0].upper()
    return "0-9" if first.isdigit() else first


class IndexOfTerms(CourseDirective):
    """Every term with its home and where it is taught, by its first letter."""

    def run(self):
        self.env.note_reread()  # it depends on every module, page and notebook
        self.env.note_dependency(TO_COME)
        try:
            terms = read_terms(self.root)
        except ValueError as error:
            raise ExtensionError(f"the terms are not in order:\n{error}") from error
        course = Course.read(self.root, terms)
        self.make_labels(terms)
        taught = [course.taught(term) for term in terms]
        self.env.course_terms = list(map(for_search, terms, taught))
        both = zip(terms, taught, strict=True)
        rows = [(term.name, self.entry(term, places)) for term, places in both]
        rows += [
            (name, self.see(name, term))
            for term in terms
            for name in term.names[1:]
            if slug(name).split("-")[0] != slug(term.name).split("-")[0]
        ]
        rows.sort(key=lambda row: slug(row[0]))
        sections = [
            nodes.section(
                "",
                nodes.title("", first),
                *(node for _, node in group),
                ids=[f"terms-{first.lower()}"],
                classes=["terms-letter"],
            )
            for first, group in groupby(rows, key=lambda row: letter(row[0]))
        ]
        return [self.filter_form(terms), *sections]

    def make_labels(self, terms: tuple[Term, ...]) -> None:
        """Let any page refer to `term-...`, by every name of a term."""
        domain = self.env.get_domain("std")
        for term in terms:
            for name in term.names:
                label = f"term-{slug(name)}"
                domain.labels[label] = (self.env.docname, label, term.name)
                domain.anonlabels[label] = (self.env.docname, label)

    def filter_form(self, terms: tuple[Term, ...]) -> element:
        """Return the filter, hidden: the script that serves it also shows it."""
        counts = Counter(map(floor, terms))
        floors = [
            (name or "to-come", f"{title} ({counts[name]})")
            for name, title in FLOORS.items()
            if counts[name]
        ]
        field = html("input", type="search", id="terms-find")
        return html(
            "form",
            html("div", html("label", "Find", for_="terms-find"), field),
            html("div", *choice("terms-by-floor", "Part", "All parts", floors)),
            html("button", "Show all", type="reset"),
            html(
                "p",
                f"{len(terms)} of {len(terms)} terms",
                role="status",
                aria_live="polite",
            ),
            class_="terms-filter",
            autocomplete="off",
            aria_label="Filter the terms",
            hidden="",
        )

    def see(self, name: str, term: Term) -> element:
        """Return the line of a synonym."""
        here = self.env.docname
        link = self.link(here, term.name, anchor=f"term-{slug(term.name)}")
        return html("p", name, ": see ", link, class_="term-see")

    def entry(self, term: Term, taught: Taught) -> element:
        """Return one term in full."""
        anchors = [html("span", id=f"term-{slug(name)}") for name in term.names[1:]]
        also = [html("span", ", ".join(term.names[1:]), class_="term-also")]
        lines = [
            ("Read", self.some([self.section(place) for place in taught.pages])),
            ("Run", self.some([self.notebook(place) for place in taught.notebooks])),
            ("Do", self.some([self.exercise(place) for place in taught.labs])),
            ("Recall", self.decks(taught.cards)),
            ("Named", self.some([self.section_or_notebook(p) for p in taught.named])),
        ]
        places = [
            html("li", html("b", f"{verb} "), html("span", *links))
            for verb, links in lines
            if links
        ]
        return html(
            "article",
            html("h3", *anchors, term.name, " ", *(also if term.names[1:] else [])),
            html("p", *in_code(sentence(term.means))),
            html("p", *self.home(term), class_="term-home"),
            *([html("ul", *places, class_="term-places")] if places else []),
            id=f"term-{slug(term.name)}",
            class_="term",
            data_floor=floor(term) or "to-come",
        )

    def home(self, term: Term) -> list[nodes.Node | str]:
        if term.chapter:
            number = int(term.chapter.split("_")[0])
            return [f"Comes with chapter {number}."]
        targets: list[nodes.Node | str] = []
        for target in term.targets:
            targets += [", " if targets else "", nodes.literal("", target)]
        return [*targets, " in ", nodes.literal("", term.path)]

    def section(self, place: Place) -> list[nodes.Node | str]:
        title = self.markdown(place.title)
        link = self.link(place.page, *title, anchor=place.anchor)
        return [f"chapter {place.number}, ", link]

    def section_or_notebook(self, place: Place) -> list[nodes.Node | str]:
        return self.section(place) if place.kind == "page" else self.notebook(place)

    def notebook(self, place: Place) -> list[nodes.Node | str]:
        title = self.markdown(place.title.removesuffix("."))
        return [self.link(place.page, f"{place.number} ", *title)]

    def exercise(self, place: Place) -> list[nodes.Node | str]:
        """Return the link to an exercise. Its anchor is made of the whole heading."""
        anchor = nodes.make_id(place.anchor)
        kind = "kernel lab" if "kernel" in place.page else f"lab {place.number}"
        return [f"{kind}, ", self.link(place.page, place.title, anchor=anchor)]

    def decks(self, places: tuple[Place, ...]) -> list[nodes.Node | str]:
        """Return how many cards each chapter has on a term."""
        counts = Counter((p.page, p.anchor, p.number) for p in places)
        links = []
        for (page, anchor, number), count in counts.items():
            cards = f"{count} card{'' if count == 1 else 's'}"
            link = self.link(page, cards, anchor=anchor)
            links.append([link, f" of chapter {number}"])
        return self.some(links)

    def some(self, links: list[list]) -> list[nodes.Node | str]:
        """Return links in one line: the first few, the others folded."""
        shown, folded = joined(links[:SHOWN]), joined(links[SHOWN:])
        if not folded:
            return shown
        more = html("summary", f"and {len(links) - SHOWN} more")
        return [*shown, " ", html("details", more, html("span", *folded))]


def for_search(term: Term, taught: Taught) -> tuple:
    """Return what the search needs: names, meaning, places, and which are sure."""
    sure = [*taught.pages, *taught.notebooks[:1]]
    places = [(place, place in sure) for place in (*sure, *taught.named)]
    found = [((place.page, place.anchor), certain) for place, certain in places]
    return term.names, term.means, found


def joined(links: list[list]) -> list[nodes.Node | str]:
    line: list[nodes.Node | str] = []
    for link in links:
        line += ["; " if line else "", *link]
    return line


def sentence(text: str) -> str:
    """Return a meaning as a sentence; a symbol at its start stays small.

    >>> sentence("each row has a table"), sentence("x sigmoid(x)")
    ('Each row has a table.', 'x sigmoid(x).')
    """
    word = text.split()[0]
    plain = word == "a" or (len(word) > 1 and word.isalpha())
    return f"{text[0].upper() if plain else text[0]}{text[1:]}."


def in_code(text: str) -> list[nodes.Node | str]:
    """Return text with what stands between backticks as code."""
    parts = text.split("`")
    return [
        nodes.literal("", part) if at % 2 else part for at, part in enumerate(parts)
    ]


def setup(app):
    """Register the directive, its style and its script."""
    app.setup_extension("elements")
    app.add_directive("index-of-terms", IndexOfTerms)
    app.add_css_file("terms.css")
    app.add_js_file("terms.js", loading_method="defer")
    return {"version": "1", "parallel_read_safe": True}
