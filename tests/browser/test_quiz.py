"""A quiz in a browser: one link, one quiz, wherever it is opened; marked, explained, printed."""

import json
import subprocess
import sys
from urllib.parse import quote

import pytest
import yaml

from course_lib.course.cards.quiz import pick
from course_lib.course.cards.reader import read_cards

from .chromium import FLAGS, find
from .conftest import ROOT, SITE
from .decks import FIND, KEY, violations
from .visit import PHONE

QUIZ = "book/quiz.html"
MONDAY = f"{QUIZ}?chapters=03&n=10&seed=monday"
QUESTIONS = "() => [...document.querySelectorAll('.quiz-question .ask-body')].map(one => one.textContent)"
# Another program: open a page and print the questions on it.
ELSEWHERE = """
import json, sys
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    path, flags, link, questions = sys.argv[1:]
    tab = playwright.chromium.launch(executable_path=path, args=json.loads(flags)).new_page()
    tab.goto(link)
    tab.evaluate("() => MathJax.startup.promise.then(() => 1)")
    print(json.dumps(tab.evaluate(questions)))
"""
SOURCE = "document.querySelector('template.quiz-cards').content"


@pytest.fixture
def quiz(browse):
    """Return a function that opens a quiz; what was opened is closed, and had nothing to complain about."""
    opened = []

    def open_quiz(page, **how):
        opened.append(browse(page, **how))
        return opened[-1]

    yield open_quiz
    for visit in opened:
        assert visit.problems() == {}
        visit.close()


def chapter_3():
    curriculum = yaml.safe_load((ROOT / "book/curriculum.yml").read_text(encoding="utf-8"))
    return [card for card in read_cards(ROOT / "book/cards", curriculum) if card.chapter == "03_kv_cache"]


def shown(visit) -> list[str]:
    return visit.tab.evaluate(QUESTIONS)


def finish(visit) -> str:
    """Finish, also with questions open, and return the score."""
    for _ in range(2):
        if visit.count(".quiz-sheet > button"):
            visit.tab.get_by_role("button", name="Finish").click()
    return visit.tab.locator(".quiz-score").inner_text()


def answer_all(visit, right: bool) -> int:
    """Answer every question that is marked by the page; return how many there are."""
    return visit.tab.evaluate(
        f"""right => {{ {FIND}
            let marked = 0;
            for (const box of document.querySelectorAll('.quiz-question')) {{
                const words = box.querySelector('textarea');
                if (words) words.value = 'words';
                if (words) continue;
                const input = box.querySelector('.ask-number-input');
                marked += 1;
                const {{ article, answer }} = find({SOURCE}, box.querySelector('.ask-question'));
                if (input) input.value = right ? answer : '123456789';
                const reasons = [...article.querySelectorAll('.ask-reasons > li')];
                const correct = reasons.findIndex(one => one.classList.contains('right'));
                for (const radio of box.querySelectorAll('[type=radio]'))
                    if ((Number(radio.value) === correct) === right) radio.checked = true;
                const list = box.querySelector('.ask-movable');
                const rows = list && right ? [...list.children] : [];
                rows.sort((one, other) => one.dataset.place - other.dataset.place);
                list?.append(...rows);
                box.querySelectorAll('select').forEach((select, place) => {{
                    select.value = right ? place : 0; }});
            }}
            return marked; }}""",
        right,
    )


def test_one_link_gives_one_quiz_over_http_and_from_disk_in_two_browsers(quiz):
    served, disk = quiz(MONDAY), quiz(MONDAY, over="file")
    other = quiz(MONDAY.replace("monday", "tuesday"))
    assert len(shown(served)) == 10
    assert shown(served) == shown(disk)
    assert shown(served) != shown(other)
    expected = [card.id for card in pick(chapter_3(), 10, "monday")]
    assert (
        served.tab.evaluate(
            f"""ids => courseCards.chance.pick([...{SOURCE}.querySelectorAll('article')]
            .map(one => one.dataset.card).filter(id => ids.includes(id)), 10, 'monday')""",
            [card.id for card in chapter_3()],
        )
        == expected
    )


def test_another_process_draws_the_same(quiz):
    """A second browser with nothing in common but the link, as on another learner's machine."""
    here = shown(quiz(MONDAY))
    link = f"{SITE.resolve().as_uri()}/{MONDAY}"
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, find(), json.dumps(FLAGS), link, QUESTIONS],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == here


@pytest.mark.parametrize("right", [True, False])
def test_the_score_counts_what_is_right_and_explains_everything(quiz, right):
    visit = quiz(f"{QUIZ}?chapters=03&n=20&seed=score")
    marked = answer_all(visit, right)
    assert 0 < marked < 20
    score = finish(visit)
    assert score == f"{marked if right else 0} of 20 right, {20 - marked} for you to judge."
    assert visit.count(".ask-explained .ask-explanation, .ask-explained .ask-because") >= 20
    assert all(len(text) > 20 for text in visit.tab.locator(".ask-explained").all_inner_texts())
    assert visit.tab.evaluate("document.activeElement.matches('.quiz-score')")
    for number in range(visit.count(".quiz-judge")):
        visit.tab.locator(".quiz-judge").nth(number).get_by_label("I had it").check()
    assert visit.tab.locator(".quiz-score").inner_text() == f"{20 if right else 20 - marked} of 20 right."
    assert visit.tab.evaluate("key => localStorage.getItem(key)", KEY) is None


def test_open_questions_are_named_before_they_count(quiz):
    visit = quiz(f"{QUIZ}?chapters=03&n=3&seed=open")
    visit.tab.get_by_role("button", name="Finish").click()
    said = visit.tab.locator(".quiz-score").inner_text()
    assert said.startswith("Not answered: ")
    assert visit.count(".ask-mark") == 0
    visit.tab.get_by_role("button", name="Finish").click()
    assert visit.tab.locator(".quiz-score").inner_text().startswith("0 of 3 right")


def test_the_form_makes_the_link(quiz):
    visit = quiz(QUIZ)
    assert visit.count(".quiz-question") == 0
    visit.tab.get_by_label("Questions").fill("4")
    visit.tab.get_by_label("Seed, any word").fill("Käse & Brot")
    visit.tab.get_by_role("button", name="Make the quiz").click()
    visit.tab.wait_for_selector(".quiz-question")
    decks = sorted(path.stem.split("_")[0] for path in (ROOT / "book/cards").glob("*.yml"))
    assert visit.tab.url.split("?")[1] == f"chapters={','.join(decks)}&n=4&seed=K%C3%A4se+%26+Brot"
    assert visit.count(".quiz-question") == 4
    assert visit.tab.get_by_label("The link to this quiz").input_value() == visit.tab.url
    assert "Käse & Brot" in visit.tab.locator(".quiz-head").first.inner_text()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("chapters=99&n=3&seed=a", "allowed are"),
        ("chapters=03&n=0&seed=a", "n=0: allowed is 1 to"),
        ("chapters=03&n=9999&seed=a", "allowed is 1 to"),
        ("chapters=03&n=ten&seed=a", "n=ten: allowed is 1 to"),
        ("chapters=<img src=x onerror=broken=1>&seed=a", "allowed are"),
    ],
)
def test_an_address_that_asks_for_what_is_not_there_is_refused(quiz, query, said):
    visit = quiz(f"{QUIZ}?{quote(query, safe='=&')}")
    assert said in visit.tab.locator(".quiz .deck-notice").inner_text()
    assert visit.count(".quiz-question") == 0
    assert visit.count(".quiz img") == 0


def test_a_hostile_seed_is_only_text(quiz):
    evil = '"><img src=x onerror="globalThis.broken=1"><script>globalThis.broken=1</script>'
    visit = quiz(f"{QUIZ}?chapters=03&n=2&seed={quote(evil)}")
    assert evil in visit.tab.locator(".quiz-head").first.inner_text()
    assert visit.count(".quiz img") == 0
    assert visit.tab.evaluate("globalThis.broken ?? null") is None
    assert visit.count(".quiz-question") == 2


@pytest.mark.parametrize(("button", "keyed"), [("Print", False), ("Print with answer key", True)])
def test_on_paper_stand_the_questions_and_the_key_if_asked_for(quiz, button, keyed):
    visit = quiz(MONDAY)
    visit.tab.evaluate("() => { globalThis.print = () => { globalThis.printed = true; }; }")
    assert not visit.tab.locator(".quiz-key").is_visible()
    visit.tab.get_by_role("button", name=button, exact=True).click()
    assert visit.tab.evaluate("globalThis.printed")
    visit.tab.emulate_media(media="print")
    assert visit.tab.locator(".quiz-question").first.is_visible()
    assert visit.tab.locator(".quiz-key").is_visible() is keyed
    assert not visit.tab.locator(".quiz-form").is_visible()
    assert not visit.tab.locator(".quiz-sheet > button").is_visible()
    if keyed:
        answers = visit.tab.locator(".quiz-key > ol > li").all_inner_texts()
        assert len(answers) == 10
        assert all(len(text.strip()) > 10 for text in answers)


def test_without_a_script_the_page_says_what_is_needed(chromium):
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{SITE.resolve().as_uri()}/{QUIZ}")
    said, forms = tab.locator(".quiz").inner_text(), tab.locator(".quiz-form").count()
    context.close()
    assert "this browser runs none" in said
    assert forms == 0


def test_form_quiz_and_score_are_accessible_and_fit_a_phone(quiz):
    visit = quiz(QUIZ)
    found = violations(visit.tab)
    visit = quiz(f"{QUIZ}?chapters=03&n=30&seed=all")
    found += violations(visit.tab)
    answer_all(visit, right=False)
    finish(visit)
    visit.tab.wait_for_function(
        "document.querySelectorAll('.quiz-sheet .math:not(:has(mjx-container))').length === 0"
    )
    found += violations(visit.tab)
    visit.tab.set_viewport_size({"width": PHONE, "height": 900})
    assert visit.tab.evaluate("document.documentElement.scrollWidth") == PHONE
    assert found == []
