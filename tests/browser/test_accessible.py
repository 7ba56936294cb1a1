"""The rewritten pages under axe at three widths, by day and by night: no rule of WCAG 2.2 AA is broken."""

import pytest

from .conftest import SITE
from .test_pages import AXE, NOT_OURS
from .visit import DESK, PHONE

SMALL_PHONE = 320
CHAPTERS = sorted(page.stem for page in SITE.glob("book/[0-9][0-9]_*.html"))
PAGES = [f"book/{name}.html" for name in (*CHAPTERS, "index", "gallery", "recorded_runs")]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# All rules by day, since a width changes what scrolls; by night the colours alone are others.
VIEWS = [("light", DESK, RULES), ("light", PHONE, RULES), ("light", SMALL_PHONE, RULES)]
VIEWS += [("dark", DESK, ["color-contrast"]), ("dark", SMALL_PHONE, ["color-contrast"])]

each_page = pytest.mark.parametrize("opened", PAGES, indirect=True)


@each_page
@pytest.mark.parametrize(("scheme", "width", "rules"), VIEWS, ids=[f"{v[0]}-{v[1]}" for v in VIEWS])
def test_axe_finds_nothing(opened, scheme, width, rules):
    opened.show(scheme, width)
    opened.tab.wait_for_timeout(700)  # the theme sets tab stops 300 ms after the size has changed
    opened.tab.evaluate(AXE.read_text(encoding="utf-8"))
    options = {"resultTypes": ["violations"], "runOnly": rules}
    found = opened.tab.evaluate(
        "([exclude, options]) => axe.run({include: ['.bd-article'], exclude}, options)", [NOT_OURS, options]
    )
    broken = [
        (rule["id"], node["html"][:160], node["failureSummary"][:200])
        for rule in found["violations"]
        for node in rule["nodes"][:3]
    ]
    assert broken == []
