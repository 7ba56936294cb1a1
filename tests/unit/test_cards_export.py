"""Decks for other programs: Anki's own library keeps the schedule over an update; GIFT and CSV read back."""

import csv
import dataclasses
import html
import io
import json
import re
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from anki.collection import Collection, ImportAnkiPackageOptions, ImportAnkiPackageRequest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from course_lib.course.cards import anki, sheets
from course_lib.course.cards.gift import escaped, gift_text
from course_lib.course.cards.schema import Choice, Computed, Match, Order, Predict, Recall
from course_lib.course.cards.sheets import COLUMNS, csv_text, to_html
from course_lib.course.cards.variants import variants
from course_lib.course.cli.app import app
from course_lib.course.cli.decks import ROOT, find_cards

CARDS = find_cards(["3"])
SHEETS = sheets.sheets(CARDS, ROOT)
RUN = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
DAY = 86400


def test_a_card_makes_the_same_sheets_each_time_with_ids_of_their_own():
    assert sheets.sheets(CARDS, ROOT) == SHEETS
    ids = [sheet.id for sheet in SHEETS]
    assert len(set(ids)) == len(ids)
    for card in CARDS:
        own = [sheet for sheet in SHEETS if sheet.card is card]
        assert [sheet.id for sheet in own] == [card.id, f"{card.id}.2", f"{card.id}.3"][: len(own)]
        assert len(own) == min(sheets.MOST, len(variants(card, ROOT)))
        assert len({sheet.question for sheet in own}) == len(own)


def test_a_side_says_what_is_needed():
    for sheet in SHEETS:
        card = sheet.card
        if isinstance(card, Choice):
            letter = re.search(rf"^([a-z])\) {re.escape(card.answer.text)}$", sheet.question, re.M)[1]
            assert sheet.answer.startswith(f"{letter}) {card.answer.text}")
            assert all(option.because in sheet.answer for option in card.options)
        elif isinstance(card, Order):
            assert all(item in sheet.question for item in card.items)
            places = [sheet.answer.index(f"{n}. {item}") for n, item in enumerate(card.items, start=1)]
            assert places == sorted(places)
        elif isinstance(card, Match):
            assert all(f"{left}: {right}" in sheet.answer for left, right in card.pairs)
        elif isinstance(card, Computed | Predict):
            assert sheet.answer.startswith(f"**{sheet.variant.answer_text}**")
        else:
            assert sheet.answer == card.answer


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("a < b & `c < d`", "a &lt; b &amp; <code>c &lt; d</code>"),
        ("$a_1 * b_2 * c$ and *so*", r"\(a_1 * b_2 * c\) and <i>so</i>"),
        ("3 * 4 * 5", "3 * 4 * 5"),
        ("**a**\nb", "<b>a</b><br>b"),
        (r"5 \$ and $x$", r"5 $ and \(x\)"),
        ("`$x$`", "<code>$x$</code>"),
        ("[here](x.md)", "here"),
    ],
)
def test_markdown_becomes_html(markdown, expected):
    assert to_html(markdown) == expected


@given(st.text())
def test_any_text_becomes_html_without_tags_of_its_own(text):
    tags = re.findall(r"<[^>]*>", to_html(text))
    assert set(tags) <= {f"<{slash}{tag}>" for slash in ("", "/") for tag in ("b", "i", "code")} | {"<br>"}


@given(st.text(alphabet="abc $<>&\"'.,"))
def test_words_survive(text):
    shown = html.unescape(re.sub(r"\\[()]|<[^>]*>|\$", "", to_html(text)))
    assert shown == text.replace("$", "")


# Anki


@pytest.fixture
def collection(tmp_path):
    """Return a learner's collection, opened by Anki's own library."""
    opened = Collection(str(tmp_path / "collection.anki2"))
    yield opened
    opened.close()


def load(collection, path):
    """Import a package as Anki's dialog does: update notes that are newer, leave scheduling out."""
    options = ImportAnkiPackageOptions(merge_notetypes=True, with_scheduling=False, with_deck_configs=False)
    return collection.import_anki_package(
        ImportAnkiPackageRequest(package_path=str(path), options=options)
    ).log


def notes(collection):
    """Return (note, card) by sheet id."""
    found = (collection.get_note(note) for note in collection.find_notes(""))
    return {note["Id"]: (note, note.cards()[0]) for note in found}


def edited(cards):
    """Return the cards with another question and answer for every recall card, and a new card."""
    changed = [
        dataclasses.replace(card, question=f"Edited: {card.question}", answer="Edited.")
        if isinstance(card, Recall)
        else card
        for card in cards
    ]
    return [*changed, dataclasses.replace(CARDS[0], id="quite-new")]


def test_anki_opens_the_deck(tmp_path, collection):
    count = anki.write_anki(CARDS, ROOT, tmp_path / "deck.apkg")
    log = load(collection, tmp_path / "deck.apkg")
    assert (count, len(log.new), len(log.updated)) == (len(SHEETS), len(SHEETS), 0)
    found = notes(collection)
    assert list(found) and set(found) == {sheet.id for sheet in SHEETS}
    for sheet in SHEETS:
        note, card = found[sheet.id]
        assert note["Question"] == to_html(sheet.question)
        assert set(note.tags) == {sheet.card.chapter, sheet.card.kind, *sheet.card.topics}
        assert collection.decks.name(card.did) == "Architecture, Measured::03_kv_cache"
        shown = card.render_output()
        assert to_html(sheet.answer) in shown.answer_text and "{{" not in re.sub(
            r"\\\(.*?\\\)", "", shown.answer_text
        )


def test_an_update_changes_the_text_and_keeps_ids_and_schedule(tmp_path, collection):
    first, second = tmp_path / "one.apkg", tmp_path / "two.apkg"
    anki.write_anki(CARDS, ROOT, first, timestamp=1_790_000_000)
    load(collection, first)
    before = notes(collection)
    reviewed = [before[card.id][1] for card in CARDS if isinstance(card, Recall)]
    collection.sched.set_due_date([card.id for card in reviewed], "17")
    collection.decks.select(reviewed[0].did)
    answered = collection.sched.getCard()
    collection.sched.answerCard(answered, 3)
    schedule = {name: schedule_of(collection, card.id) for name, (_, card) in before.items()}
    reviews = collection.db.list("select id from revlog order by id")
    types = len(collection.models.all_names_and_ids())
    assert reviews
    assert any(kind == 2 for kind, *_ in schedule.values()), "some cards are in review"

    anki.write_anki(edited(CARDS), ROOT, second, timestamp=1_790_000_000 + DAY)
    log = load(collection, second)
    after = notes(collection)
    assert set(after) == {*before, "quite-new"}
    recalls = [card for card in CARDS if isinstance(card, Recall)]
    assert len(log.new) == 1 and len(log.updated) >= len(recalls)
    for name, (note, card) in before.items():
        assert (after[name][0].id, after[name][0].guid, after[name][1].id) == (note.id, note.guid, card.id)
        assert schedule_of(collection, card.id) == schedule[name]
    for card in recalls:
        assert after[card.id][0]["Question"].startswith("Edited: ")
        assert after[card.id][0]["Answer"] == "Edited."
    assert collection.db.list("select id from revlog order by id") == reviews
    assert len(collection.models.all_names_and_ids()) == types


def schedule_of(collection, card_id):
    """Return a card's kind, queue, due date, interval, repetitions and deck."""
    return tuple(
        collection.db.first("select type, queue, due, ivl, reps, did from cards where id = ?", card_id)
    )


def test_a_package_holds_these_numbers(tmp_path):
    """As they stand in the file: note type, deck, and the GUID of every note."""
    anki.write_anki(CARDS, ROOT, tmp_path / "deck.apkg")
    with zipfile.ZipFile(tmp_path / "deck.apkg") as package:
        package.extract("collection.anki2", tmp_path)
    with closing(sqlite3.connect(tmp_path / "collection.anki2")) as held:
        rows = held.execute("SELECT guid, mid, flds FROM notes").fetchall()
        decks = {deck for (deck,) in held.execute("SELECT DISTINCT did FROM cards")}
    assert {mid for _, mid, _ in rows} == {anki.number("model")}
    assert decks == {anki.number("deck/03_kv_cache")}
    assert {guid: fields.split("\x1f")[0] for guid, _, fields in rows} == {
        anki.guid(sheet.id): sheet.id for sheet in SHEETS
    }


def test_the_numbers_by_which_anki_knows_us_never_change():
    """Written down: another number would give every learner a second deck."""
    assert anki.number("model") == 1212085838
    assert anki.guid("kv-why-final") == "385999831076c94e47f9"
    assert anki.number("deck/03_kv_cache") == 1149200810


# GIFT


def parse_gift(text):
    """Read GIFT as Moodle does: {title: (kind, question, answers, feedback, category)}."""
    found, category = {}, None
    for block in re.split(r"\n\s*\n", text.strip()):
        if block.startswith("$CATEGORY:"):
            category = block.removeprefix("$CATEGORY:").strip()
            continue
        block = re.sub(r"\\(.)", lambda m: f"\0{ord(m[1])}\0", block, flags=re.S)
        title, asked, inner = re.fullmatch(r"::(.*?)::\[html\]([^{}]*)\{([^{}]*)\}", block, re.S).groups()
        inner, _, feedback = inner.strip().rpartition("####") if "####" in inner else (inner.strip(), "", "")
        inner = inner.strip()
        if not inner:
            kind, answers = "essay", []
        elif inner[0] == "#":
            kind, answers = "numerical", [float(part) for part in inner[1:].split(":")]
        elif "~" in inner:
            parts = re.findall(r"([=~])([^=~]*)", inner)
            kind = "multichoice"
            answers = [
                (sign == "=", *(restored(side) for side in body.split("#", 1))) for sign, body in parts
            ]
        else:
            kind = "match"
            answers = [tuple(restored(side) for side in pair.split("->")) for pair in inner.split("=")[1:]]
        found[restored(title)] = (kind, restored(asked), answers, restored(feedback), category)
    return found


def restored(text):
    """Return text with the escaped characters back."""
    signs = re.sub("\0(\\d+)\0", lambda m: "\n" if m[1] == "110" else chr(int(m[1])), text)
    return signs.strip()


@given(st.text().filter(lambda text: "\r" not in text and "\0" not in text))
def test_escaping_for_gift_round_trips(text):
    guarded = escaped(text)
    assert not re.search(r"(?<!\\)(?:\\\\)*[~=#{}:]", re.sub(r"\\.", "", guarded, flags=re.S))
    assert "\n" not in guarded
    marked = re.sub(r"\\(.)", lambda m: f"\0{ord(m[1])}\0", guarded, flags=re.S)
    assert restored(f"x{marked}x") == f"x{text}x"


def test_gift_holds_every_sheet_as_its_kind():
    found = parse_gift(gift_text(CARDS, ROOT))
    assert list(found) == [sheet.id for sheet in SHEETS]
    kinds = {
        Choice: "multichoice",
        Recall: "essay",
        Match: "match",
        Order: "match",
        Computed: "numerical",
        Predict: "numerical",
    }
    for sheet in SHEETS:
        kind, asked, answers, feedback, category = found[sheet.id]
        card, variant = sheet.card, sheet.variant
        assert kind == kinds[type(card)]
        assert asked.startswith(to_html(variant.question))
        assert category == "$course$/Architecture, Measured/03_kv_cache"
        if isinstance(card, Choice):
            expected = [(one.correct, to_html(one.text), to_html(one.because)) for one in card.options]
            assert answers == expected and sum(right for right, *_ in answers) == 1
        else:
            assert feedback == to_html(variant.explanation)
        if isinstance(card, Computed | Predict):
            number, margin = answers
            assert number == variant.answer
            assert margin == pytest.approx(abs(number) * variant.tolerance, rel=1e-9)
            assert not variant.unit or asked.endswith(f"({variant.unit})")
        if isinstance(card, Order):
            assert answers == [(to_html(item), str(n)) for n, item in enumerate(card.items, start=1)]
        if isinstance(card, Match):
            assert [left for left, _ in answers] == [to_html(left) for left, _ in card.pairs]
            assert len({right for _, right in answers}) == len(answers) >= 3


def test_every_deck_of_the_course_is_written_whole(tmp_path):
    cards = find_cards(None)
    ids = [sheet.id for sheet in sheets.sheets(cards, ROOT)]
    assert list(parse_gift(gift_text(cards, ROOT))) == ids
    assert [row[0] for row in csv.reader(io.StringIO(csv_text(cards, ROOT), newline=""))][1:] == ids
    assert anki.write_anki(cards, ROOT, tmp_path / "deck.apkg") == len(ids)


AWKWARD = {"a -> b = c", "{x} ~ y: #1", "back\\slash $x_{1}$", "line\nend"}


def test_awkward_text_survives_in_every_kind():
    """Arrows, braces and backslashes in options and pairs come back as they were."""
    texts = sorted(AWKWARD)
    base = {"chapter": "03_kv_cache", "topics": ("kv-why",), "section": "kv-why", "question": "= {a} -> ~b"}
    pairs = tuple((text, f"to -> {number} = {{}}") for number, text in enumerate(texts))
    found = parse_gift(gift_text([Match(id="m", **base, pairs=pairs, explanation="####:")], ROOT))
    assert [left for left, _ in found["m"][2]] == [to_html(text) for text in texts]
    assert [right for _, right in found["m"][2]] == [f"to → {number} = {{}}" for number in range(len(texts))]
    assert found["m"][1] == to_html(base["question"])
    assert found["m"][3] == "####:"


# CSV


def test_csv_reads_back():
    header, *rows = csv.reader(io.StringIO(csv_text(CARDS, ROOT)))
    assert tuple(header) == COLUMNS
    assert [row[0] for row in rows] == [sheet.id for sheet in SHEETS]
    assert all(len(row) == len(COLUMNS) for row in rows)
    assert not any("$" in row[5] or "\\" in row[5] for row in rows)


@given(st.text().filter(lambda text: "\0" not in text), st.text(alphabet='",;\n a'))
def test_any_text_in_a_card_reads_back_from_csv(question, answer):
    card = Recall("03_kv_cache", "a", ("kv-why",), "kv-why", question.replace("$", ""), answer)
    _, row = csv.reader(io.StringIO(csv_text([card], ROOT), newline=""))
    assert row[0] == "a" and row[-1] == answer
    assert len(row) == len(COLUMNS)


# The command


@pytest.mark.parametrize("to", ["anki", "csv", "gift"])
def test_the_command_writes_a_deck_and_does_not_overwrite_it(tmp_path, to):
    file = tmp_path / "deck"
    words = ["cards", "export", str(file), "--to", to, "--chapter", "3"]
    told = json.loads(RUN.invoke(app, [*words, "--json"]).stdout)
    assert (told["cards"], told["questions"], told["format"]) == (len(CARDS), len(SHEETS), to)
    assert file.stat().st_size > 5000
    again = RUN.invoke(app, words)
    assert again.exit_code == 2 and "there already" in again.stderr
    assert RUN.invoke(app, [*words, "--force"]).exit_code == 0


def test_the_command_lists_the_cards():
    told = json.loads(RUN.invoke(app, ["cards", "list", "--chapter", "3", "--json"]).stdout)["cards"]
    assert [one["card"] for one in told] == [card.id for card in CARDS]
    assert {one["kind"] for one in told} == {card.kind for card in CARDS}
    shown = RUN.invoke(app, ["cards", "list"]).stdout
    assert all(card.id in shown for card in find_cards(None))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export", "x", "--to", "pdf"], "'anki', 'csv', 'gift'"),
        (["export", "/no/such/folder/x.csv", "--to", "csv"], "cannot be written"),
        (["list", "--chapter", "99"], "chapter='99': allowed are"),
    ],
)
def test_what_is_not_allowed_is_refused(words, message):
    result = RUN.invoke(app, ["cards", *words])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not Path("x").exists()
