"""What the tests of cards and of quizzes share: opening a deck, answering a card, looking for violations."""

import json
from pathlib import Path

AXE = (Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
KEY = "architecture-measured-progress:1"
KINDS = ("recall", "choice", "computed", "order", "match", "predict")
# find(cards, question): the article in which a variant of the question reads so, and the variant's answer.
FIND = """
    const plain = node => {
        const copy = node.cloneNode(true);
        copy.querySelectorAll('.math').forEach(one => one.remove());
        return copy.textContent.replace(/\\s+/g, ' ').trim();
    };
    const find = (cards, question) => {
        for (const article of cards.querySelectorAll('article[data-card]')) {
            const others = [...article.querySelectorAll('template')];
            for (const [root, { answer }] of [[article, article.dataset],
                ...others.map(one => [one.content, one.dataset])]) {
                if (plain(root.querySelector('.ask-question')) !== plain(question)) continue;
                return { article, answer };
            }
        }
    };"""
# A progress in which every card but those of one kind is far from due, so that this kind is asked.
ONLY = """([key, kind]) => {
    const root = new DOMParser().parseFromString(globalThis.source, 'text/html');
    const entry = { due: '2100-01-01T00:00:00.000Z', stability: 9, difficulty: 5, state: 2, step: null,
        last_review: '2026-11-24T09:00:00.000Z', reps: 1, lapses: 0 };
    const others = [...root.querySelectorAll('article[data-card]')].filter(one => one.dataset.kind !== kind);
    const cards = Object.fromEntries(others.map(one => [one.dataset.card, entry]));
    localStorage.setItem(key, JSON.stringify({ format: 'architecture-measured-progress', version: 1,
        exported: '2026-11-24T09:00:00.000Z', cards, log: [] })); }"""


class Deck:
    """A page with a deck, driven as a reader does."""

    def __init__(self, visit, source: Path):
        self.visit, self.tab, self.source = visit, visit.tab, source.read_text(encoding="utf-8")

    def reload(self) -> None:
        self.tab.reload(wait_until="load")
        self.visit.settle()

    def only(self, kind: str) -> None:
        """Leave only cards of one kind to be asked."""
        self.tab.evaluate("text => { globalThis.source = text; }", self.source)
        self.tab.evaluate(ONLY, [KEY, kind])
        self.reload()

    def stored(self) -> dict:
        return json.loads(self.tab.evaluate("key => localStorage.getItem(key)", KEY))

    def card(self) -> dict:
        """Return the id, kind and answer of the card shown, found by its question in the page as built."""
        return self.tab.evaluate(
            f"""text => {{ {FIND}
                const built = new DOMParser().parseFromString(text, 'text/html');
                const shown = document.querySelector('.deck-stage .ask-question');
                const {{ article, answer }} = find(built, shown);
                return {{ id: article.dataset.card, kind: article.dataset.kind, answer }}; }}""",
            self.source,
        )

    def answer(self, right: bool) -> None:
        """Give a right or a wrong answer to the card shown, by keyboard alone, up to Enter."""
        found, keys = self.card(), self.tab.keyboard
        kind = found["kind"]
        if kind == "recall":
            self.focus("button.deck-main")
        elif kind == "choice":
            self.focus("input[type=radio]")
            keys.press(str(self.place(found["id"], right) + 1))
        elif kind in ("computed", "predict"):
            self.focus("input[type=text]")
            keys.type(str(float(found["answer"]) * (1 if right else 3) + (0 if right else 1)))
        elif kind == "order":
            self.arrange(right)
            self.focus("button.deck-main")
        elif kind == "match":
            self.match(right)
            self.focus("button.deck-main")
        keys.press("Enter")
        self.tab.wait_for_selector(".ask-explained:not([hidden])")

    def focus(self, selector: str) -> None:
        """Go to a control of the card with the Tab key, from wherever the reader is."""
        self.tab.locator(".deck-stage .ask-question").focus()
        for _ in range(60):
            self.tab.keyboard.press("Tab")
            if self.tab.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    def place(self, card: str, right: bool) -> int:
        """Return the place on the page of the right option, or of a wrong one."""
        radios = self.tab.locator(".deck-stage input[type=radio]")
        values = [int(radios.nth(number).get_attribute("value")) for number in range(radios.count())]
        correct = self.tab.evaluate(
            "([text, id]) => [...new DOMParser().parseFromString(text, 'text/html')"
            '.querySelectorAll(`article[data-card="${id}"] .ask-reasons > li`)]'
            ".findIndex(one => one.classList.contains('right'))",
            [self.source, card],
        )
        return next(place for place, value in enumerate(values) if (value == correct) is right)

    def arrange(self, right: bool) -> None:
        """Sort the items with the arrow keys; for a wrong answer leave the first two exchanged."""
        rows = self.tab.locator(".ask-movable > li")
        for place in range(rows.count()):
            row = self.tab.locator(f'.ask-movable > li[data-place="{place}"]')
            row.locator("button").first.focus()
            while self.tab.evaluate(
                "place => [...document.querySelectorAll('.ask-movable > li')]"
                ".findIndex(row => Number(row.dataset.place) === place) > place",
                place,
            ):
                self.tab.keyboard.press("ArrowUp")
        if not right:
            rows.nth(1).locator("button").first.focus()
            self.tab.keyboard.press("ArrowUp")

    def match(self, right: bool) -> None:
        """Choose each letter by typing it; for a wrong answer the same letter everywhere."""
        selects = self.tab.locator(".ask-matching select")
        for number in range(selects.count()):
            value = str(number if right else 0)
            letter = selects.nth(number).locator(f'option[value="{value}"]').inner_text()
            selects.nth(number).focus()
            self.tab.keyboard.type(letter)
            assert selects.nth(number).input_value() == value

    def verdict(self) -> str:
        return self.tab.locator(".deck-stage .ask-verdict").inner_text()

    def status(self) -> str:
        return self.tab.locator(".deck-status").inner_text()


def violations(tab, schemes=("light", "dark")) -> list:
    """Return what axe finds against WCAG 2 A and AA in the page's article, in light and in dark."""
    found = []
    for scheme in schemes:
        tab.emulate_media(color_scheme=scheme)
        tab.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=scheme)
        tab.wait_for_timeout(700)  # the theme's colours fade in, and it sets tab stops, within half a second
        tab.evaluate(AXE)
        result = tab.evaluate(
            "() => axe.run({include: ['.bd-article']}, {resultTypes: ['violations'],"
            " runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})"
        )
        found += [
            (scheme, broken["id"], node["html"][:160], node["failureSummary"][:200])
            for broken in result["violations"]
            for node in broken["nodes"][:3]
        ]
    return found
