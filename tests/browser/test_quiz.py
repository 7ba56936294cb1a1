"""A quiz in a browser: one link, one quiz, wherever it is opened; marked, explained, printed."""

import json
import subprocess
import sys
from urllib.parse import quote

import pytest
import yaml

from course_lib.course.cards.quiz import pick
from course_lib.course.cards.reader import read_cards
from course_lib.course.cards.result import check_cards, read_result

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
    """Finish, say that it is to end, and return the score."""
    visit.tab.get_by_role("button", name="Finish", exact=True).click()
    visit.tab.get_by_role("button", name="Finish the quiz").click()
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
    visit.tab.get_by_role("button", name="Finish", exact=True).click()
    dialog = visit.tab.get_by_role("dialog", name="Finish the quiz?")
    assert "0 of 3 answered" in dialog.inner_text() or "1 of 3 answered" in dialog.inner_text()
    assert visit.count(".ask-mark") == 0
    place = dialog.get_by_role("button", name="Question").first.inner_text()
    dialog.get_by_role("button", name=place).click()
    assert dialog.count() == 0
    focused = "document.activeElement.closest('.quiz-question').getAttribute('aria-label')"
    assert visit.tab.evaluate(focused) == place
    visit.tab.get_by_role("button", name="Finish", exact=True).click()
    visit.tab.keyboard.press("Escape")
    assert visit.tab.get_by_role("button", name="Finish", exact=True).count() == 1
    assert finish(visit).startswith("0 of 3 right")


def number_questions(visit):
    return visit.tab.locator(".quiz-question:has(.ask-number-input)")


def test_enter_checks_a_number_and_moves_on_and_finishes_nothing(quiz):
    visit = quiz(f"{QUIZ}?chapters=03&n=40&seed=numbers")
    box = number_questions(visit).first
    field = box.locator(".ask-number-input")
    field.fill("a lot")
    for _ in range(3):
        field.press("Enter")
    assert "is not a number" in box.locator(".ask-verdict").inner_text()
    field.fill("12")
    field.press("Enter")
    here, there = (
        visit.tab.evaluate(f"[...document.querySelectorAll('.quiz-question')].indexOf({which})")
        for which in (
            "document.querySelector('.ask-number-input').closest('.quiz-question')",
            "document.activeElement.closest('.quiz-question')",
        )
    )
    assert there == here + 1
    assert visit.count(".quiz-dialog") == visit.count(".ask-mark") == 0
    assert visit.tab.locator(".quiz-score").count() == 0 or not visit.tab.locator(".quiz-score").inner_text()


def answers_of(visit):
    return visit.tab.evaluate(
        """() => [...document.querySelectorAll('.quiz-question')].map(box => [
            [...box.querySelectorAll('[type=radio]')].map(one => one.checked),
            [...box.querySelectorAll('input[type=text], select, textarea')].map(one => one.value),
            [...box.querySelectorAll('.ask-movable > li')].map(one => one.dataset.place)])"""
    )


@pytest.mark.parametrize("over", ["http", "file"])
def test_a_reload_loses_no_answer_and_leaving_is_warned_of(quiz, over):
    visit = quiz(f"{QUIZ}?chapters=03&n=25&seed=kept", over=over)
    warned = []
    visit.tab.on("dialog", lambda dialog: (warned.append(dialog.type), dialog.accept()))
    answer_all(visit, right=True)
    visit.tab.locator(".quiz-question .ask-number-input").first.press("Tab")  # a page warns once it was used
    before = answers_of(visit)
    visit.tab.reload()
    visit.settle()
    assert answers_of(visit) == before
    assert warned == ["beforeunload"]
    assert "as you left them" in visit.tab.locator(".quiz-restored").inner_text()
    visit.tab.get_by_role("button", name="Start again").click()
    visit.tab.wait_for_selector(".quiz-question")
    visit.settle()
    assert answers_of(visit) != before


def test_a_finished_quiz_stays_finished_over_a_reload(quiz):
    visit = quiz(f"{QUIZ}?chapters=03&n=20&seed=score")
    answer_all(visit, right=True)
    finish(visit)
    visit.tab.locator(".quiz-judge").first.get_by_label("I had it").check()
    visit.tab.get_by_label("Your name").fill("Ada")
    score, text = (visit.tab.locator(f".quiz-{part}").inner_text() for part in ("score", "result"))
    visit.tab.reload()
    visit.settle()
    assert visit.tab.locator(".quiz-score").inner_text() == score
    assert visit.tab.locator(".quiz-result").inner_text() == text
    assert visit.tab.get_by_role("button", name="Finish", exact=True).count() == 0


def test_the_result_is_copied_and_saved_and_checked_in_the_terminal(quiz, tmp_path):
    visit = quiz(f"{QUIZ}?chapters=3&n=20&seed=score")
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    marked = answer_all(visit, right=True)
    finish(visit)
    visit.tab.get_by_label("Your name").fill("Ada Lovelace")
    visit.tab.get_by_role("button", name="Copy the result").click()
    visit.tab.get_by_role("button", name="Copied").wait_for()
    with visit.tab.expect_download() as download:
        visit.tab.get_by_role("button", name="Save as a file").click()
    path = tmp_path / "result.txt"
    download.value.save_as(path)
    text = path.read_text(encoding="utf-8")
    assert visit.tab.evaluate("() => navigator.clipboard.readText()") == text
    found = read_result(text)
    check_cards(found, chapter_3())
    assert (found.name, found.right, found.chapters) == ("Ada Lovelace", marked, ("03",))


@pytest.mark.parametrize("over", ["http", "file"])
def test_the_link_is_copied_and_holds_no_path_of_its_maker(quiz, over):
    visit = quiz(f"{QUIZ}?chapters=3,02&n=4&seed=link", over=over)
    query = "chapters=02,03&n=4&seed=link"
    expected = f"quiz.html?{query}" if over == "file" else f"{visit.base}/{QUIZ}?{query}"
    assert visit.tab.get_by_label("The link to this quiz").input_value() == expected
    visit.tab.get_by_role("button", name="Copy the link").click()
    visit.tab.get_by_role("button", name="Copied").wait_for()


def test_both_spellings_of_a_chapter_are_one_quiz(quiz):
    assert (
        shown(quiz(MONDAY.replace("03", "3")))
        == shown(quiz(MONDAY))
        == shown(quiz(MONDAY.replace("03", "03_kv_cache")))
    )


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
    visit.tab.wait_for_function("globalThis.printed")
    visit.tab.emulate_media(media="print")
    assert visit.tab.locator(".quiz-question").first.is_visible()
    assert visit.tab.locator(".quiz-key").is_visible() is keyed
    assert not visit.tab.locator(".quiz-form").is_visible()
    assert not visit.tab.locator(".quiz-sheet > button").is_visible()
    if keyed:
        answers = visit.tab.locator(".quiz-key > ol > li").all_inner_texts()
        assert len(answers) == 10
        assert all(len(text.strip()) > 10 for text in answers)


def test_paper_has_letters_in_one_order_a_line_for_the_name_and_fonts(quiz):
    visit = quiz(f"{QUIZ}?chapters=03&n=30&seed=paper")
    visit.tab.evaluate("() => { globalThis.print = () => { globalThis.printed = true; }; }")
    visit.tab.get_by_role("button", name="Print with answer key").click()
    visit.tab.wait_for_function("globalThis.printed")
    visit.tab.emulate_media(media="print")
    assert (
        "Name" in visit.tab.locator(".quiz-name").inner_text()
        and "Date" in visit.tab.locator(".quiz-name").inner_text()
    )
    assert visit.tab.locator(".quiz-name").is_visible()
    # The letter of the key stands on the sheet beside the option that is right.
    wrong = visit.tab.evaluate(f"""() => {{ {FIND}
        return [...document.querySelectorAll('.quiz-question')].flatMap((box, place) => {{
            const key = document.querySelectorAll('.quiz-key > ol > li')[place];
            const options = [...box.querySelectorAll('.ask-option')];
            if (!options.length) return [];
            const letters = options.map(one => one.querySelector('kbd').textContent).join('');
            const reasons = [...key.querySelectorAll('.ask-reasons > li')];
            const text = one => plain(one.querySelector('.ask-text') ?? one.querySelector('span'));
            const same = options.every((one, at) => text(one) === text(reasons[at]));
            const said = key.querySelector('.ask-solution').textContent;
            const right = 'ABCDEFGH'[reasons.findIndex(one => one.classList.contains('right'))];
            const whole = letters === 'ABCDEFGH'.slice(0, options.length);
            return same && said === right && whole ? [] : [place + 1];
        }}); }}""")
    assert wrong == []
    fonts = (
        "[...document.fonts].filter(one => /^.?MJX/.test(one.family)).map(one => [one.family, one.status])"
    )
    found = visit.tab.evaluate(fonts)
    named = {family.strip('"') for family, _ in found}
    assert len(named) > 15
    assert named == {family for family, status in found if status == "loaded"}


def test_a_finished_printout_marks_number_questions(quiz):
    visit = quiz(f"{QUIZ}?chapters=03&n=30&seed=paper")
    answer_all(visit, right=False)
    finish(visit)
    visit.tab.emulate_media(media="print")
    boxes = number_questions(visit)
    assert boxes.count() > 0
    for number in range(boxes.count()):
        assert boxes.nth(number).locator(".ask-mark").is_visible()


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
