"""Cards and quizzes on a page, made from book/cards/*.yml while the book is built.

    ```{cards} 03_kv_cache     the deck of one chapter
    ```{cards}                 the cards of all chapters, and a table that counts them
    ```{quiz}                  an instructor's quiz, drawn from all cards
    ```{card-statistics}       what a learner's log says

A card is written out once (`card_html.py`), and the scripts in book/_static/cards make
it a thing to answer. A file that is not in order stops the build.
"""

import json
from itertools import groupby
from pathlib import Path

import yaml
from card_html import CardDirective
from coursepage import chapter_name
from elements import element, html, table
from sphinx.errors import ExtensionError

from course_lib.course.cards.reader import read_cards
from course_lib.course.cards.schema import Card

CARDS, CURRICULUM = "book/cards", "book/curriculum.yml"


def load(root: Path) -> tuple[Card, ...]:
    """Return the cards of the book; the build stops if they are not in order."""
    curriculum = yaml.safe_load((root / CURRICULUM).read_text(encoding="utf-8"))
    try:
        return read_cards(root / CARDS, curriculum)
    except ValueError as error:
        raise ExtensionError(f"the cards are not in order:\n{error}") from error


class Deck(CardDirective):
    """The cards of a chapter, or of all."""

    optional_arguments = 1

    def run(self):
        # A call may return something else, though no file of this page changed.
        self.env.note_reread()
        cards = load(self.root)
        chapters = list(dict.fromkeys(card.chapter for card in cards))
        if self.arguments:
            if self.arguments[0] not in chapters:
                known = ", ".join(chapters)
                raise self.error(
                    f"cards: {self.arguments[0]!r} has no cards; allowed are {known}"
                )
            cards = tuple(card for card in cards if card.chapter == self.arguments[0])
        deck = html(
            "div",
            self.units(),
            *map(self.article, cards),
            class_="cards-deck",
            data_deck="chapter" if self.arguments else "course",
        )
        return [deck] if self.arguments else [self.counts(cards), deck]

    def counts(self, cards: tuple[Card, ...]) -> element:
        """Return the table of chapters; how many cards are due is filled in by the
        script.
        """
        rows = []
        for chapter, group in groupby(cards, key=lambda card: card.chapter):
            due, new = (
                html("span", "–", data_count=name, data_chapter=chapter)
                for name in ("due", "new")
            )
            rows.append((self.chapter(chapter), due, new, str(len(list(group)))))
        return table(["Chapter", "Due", "New", "Cards"], rows)


class Quiz(CardDirective):
    """A form that makes a quiz, and the cards it draws from."""

    def run(self):
        # A call may return something else, though no file of this page changed.
        self.env.note_reread()
        cards = load(self.root)
        names = {card.chapter: chapter_name(self.root, card.chapter) for card in cards}
        source = html("template", *map(self.article, cards), class_="quiz-cards")
        needs = html(
            "p", "A quiz is drawn and marked by a script, and this browser runs none."
        )
        return [
            html(
                "div",
                self.units(),
                html("noscript", needs),
                source,
                class_="quiz",
                data_deck="quiz",
                data_chapters=json.dumps(names),
            )
        ]


class Statistics(CardDirective):
    """Where a script puts what the log of reviews says."""

    def run(self):
        needs = html(
            "p", "The numbers are counted by a script, and this browser runs none."
        )
        inner = html("noscript", needs)
        return [html("div", inner, class_="cards-statistics", data_deck="statistics")]


PROGRESS = ("fsrs", "schedule", "sound", "store")
DECK = ("pick", "answers", "kinds", "files", "card", *PROGRESS, "list", "tools", "deck")
SCRIPTS = {
    "chapter": DECK,
    "course": DECK,
    "quiz": (
        *("pick", "answers", "kinds", "files", "card"),
        *(f"quiz-{part}" for part in ("question", "kept", "result", "finish", "paper")),
        "quiz",
    ),
    "statistics": ("kinds", *PROGRESS, "stats", "statistics"),
}
EVERYWHERE = ("index", "day", "progress", "today", "settings", "due")


def add_scripts(app, pagename, templatename, context, doctree):
    """Give a page with cards its scripts and style, before MathJax: it sets the one
    card then shown.
    """
    found = doctree.findall(element) if doctree else ()
    names = [
        name
        for node in found
        for name in SCRIPTS.get(node["html"].get("data-deck"), ())
    ]
    if names:
        app.add_css_file("cards/cards.css")
    for name in dict.fromkeys(names):
        app.add_js_file(f"cards/{name}.js", priority=300, loading_method="defer")


def write_scripts(app):
    """Write the two scripts that are made: which cards a chapter has; ts-fsrs, out of
    reach of require.js.
    """
    if app.builder.format != "html":
        return
    root, target = Path(app.srcdir), Path(app.outdir) / "_static" / "cards"
    library = root / "book/_static/vendor/ts-fsrs/dist/index.umd.js"
    if not library.is_file():
        raise ExtensionError(
            f"{library} is not there: python tools/vendor_assets.py fetches it"
        )
    target.mkdir(parents=True, exist_ok=True)
    wrapped = (
        "(function (define, exports, module) "
        f"{{{library.read_text(encoding='utf-8')}\n}})();\n"
    )
    (target / "fsrs.js").write_text(wrapped, encoding="utf-8")
    index = [
        {
            "id": chapter,
            "page": f"book/{chapter}.html",
            "cards": [card.id for card in group],
        }
        for chapter, group in groupby(load(root), key=lambda card: card.chapter)
    ]
    text = f"(globalThis.courseCards ??= {{}}).chapters = {json.dumps(index)};\n"
    (target / "index.js").write_text(text, encoding="utf-8")


def setup(app):
    """Register the directives, the made scripts, and the counts in the sidebar of every
    page.
    """
    app.setup_extension("elements")
    app.add_directive("cards", Deck)
    app.add_directive("quiz", Quiz)
    app.add_directive("card-statistics", Statistics)
    app.connect("builder-inited", write_scripts)
    app.connect("html-page-context", add_scripts)
    for name in EVERYWHERE:
        app.add_js_file(f"cards/{name}.js", priority=290, loading_method="defer")
    return {"version": "1", "parallel_read_safe": True}
