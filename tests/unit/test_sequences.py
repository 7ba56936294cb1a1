"""Sequence tasks: exact answers, the rules of ELOT 743, parts that share nothing."""

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.tasks import sequences
from course_lib.tasks.greek import LATIN, PLACES, romanise, sample_word

TASKS = [sequences.reversal(), sequences.sorting(), sequences.transliteration()]
# How Greek authorities write these names.
KNOWN = {
    "Θεσσαλονίκη": "thessaloníki",
    "Ναύπακτος": "náfpaktos",
    "Ναύπλιο": "náfplio",
    "Εύβοια": "évvoia",
    "Επίδαυρος": "epídavros",
    "Ελευσίνα": "elefsína",
    "Μεσολόγγι": "mesolóngi",
    "Πειραιάς": "peiraiás",
    "Ηράκλειο": "irákleio",
    "Καλαμπάκα": "kalampáka",
    "Αγγλία": "anglía",
    "Μάγχη": "mánchi",
    "Λευκάδα": "lefkáda",
    "Ψαρά": "psará",
    "Ζάκυνθος": "zákynthos",
    "Λαγκαδάς": "lagkadás",
    "Νάουσα": "náousa",
}


def test_known_names_come_out_as_they_are_written():
    assert {name: romanise(name) for name in KNOWN} == KNOWN


@pytest.mark.parametrize(
    ("greek", "latin"),
    [
        ("μπ", "b"),
        ("μπαμπάμπ", "bampáb"),  # start, inside, end
        ("γαυ γαυ", "gaf gaf"),  # the end of a word
        ("αυδ αυθ ευα ευτ ηυλ ηυς", "avd afth eva eft ivl ifs"),
        ("αυξ αυψ αυς αυκ αυβ", "afx afps afs afk avv"),
        ("αύ άυ αϋ", "áf áy aÿ"),  # joined; parted by the accent; parted by the diaeresis
        ("ου ού όυ οϋ", "ou oú óy oÿ"),
        ("γγ γξ γχ γκ", "ng nx nch gk"),
        ("σπρέυ", "spréy"),
        ("ταΰγετος", "taÿ́getos"),
        ("Α, β: x+1\n", "a, v: x+1\n"),
        ("", ""),
    ],
)
def test_each_rule_of_the_table(greek, latin):
    assert romanise(greek) == latin


def test_every_single_letter_is_in_the_table():
    small = [chr(c) for c in range(ord("α"), ord("ω") + 1)]
    assert {letter: romanise(letter) for letter in small} == LATIN


@given(st.integers(0, 10**9), st.integers(1, 5))
def test_drawn_words_are_greek_and_their_latin_is_not(seed, syllables):
    word = sample_word(random.Random(seed), syllables)
    latin = romanise(word)
    letters = [c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c)]
    assert letters and set(letters) <= set(LATIN)
    assert {c for c in unicodedata.normalize("NFD", latin) if not unicodedata.combining(c)} <= set(
        "abcdefghijklmnopqrstuvwxyz"
    )
    accents = [unicodedata.normalize("NFD", text).count("\u0301") for text in (word, latin)]
    assert accents == [1, 1]


def test_drawn_words_use_every_rule():
    words = [sample_word(random.Random(i), 1 + i % 4) for i in range(2000)]
    for pair in ("γγ", "γξ", "γχ", "μπ", "αυ", "αύ", "ευ", "ηυ", "ου", "ού", "άυ", "αΰ"):
        assert any(pair in word for word in words), pair


def test_places_are_words_of_the_table():
    assert len(PLACES) == len(set(PLACES)) > 40
    assert all(romanise(place).isalpha() or place == "ταΰγετος" for place in PLACES)


@given(st.text(max_size=12))
def test_answers_are_exact(source):
    reversal, sorting, transliteration = (task.answer for task in TASKS)
    assert reversal(reversal(source)) == source and reversal(source) == "".join(reversed(source))
    assert sorting(source) == sorting(reversal(source)) and sorted(source) == list(sorting(source))
    assert transliteration(source) == romanise(source)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_parts_share_no_source_and_pairs_hold_the_answer(task):
    train = sequences.sample_pairs(task, 3000, seed=1)
    valid = sequences.sample_pairs(task, 300, part="valid", seed=2)
    assert not {p.source for p in train} & {p.source for p in valid}
    assert all(pair.target == task.answer(pair.source) for pair in train + valid)
    assert (len(train), len(valid)) == (3000, 300)


@pytest.mark.parametrize("one_in", [10, 3])
def test_one_source_in_so_many_is_valid(one_in):
    """A binomial count: 5 standard deviations."""
    rng, n = random.Random(0), 20_000
    words = {"".join(rng.choices("abcdefgh", k=12)) for _ in range(n)}
    count, share = sum(sequences.part_of(word, one_in=one_in) == "valid" for word in words), 1 / one_in
    assert abs(count - len(words) * share) < 5 * (len(words) * share * (1 - share)) ** 0.5


def test_lengths_and_letters_are_as_asked():
    task = sequences.reversal(shortest=2, longest=5, alphabet="xyz")
    sources = [pair.source for pair in sequences.sample_pairs(task, 500)]
    assert {len(s) for s in sources} == {2, 3, 4, 5} and set("".join(sources)) == set("xyz")


def test_words_to_transliterate_have_any_number_of_syllables(monkeypatch):
    asked = set()
    monkeypatch.setattr(sequences, "sample_word", lambda rng, n: asked.add(n) or sample_word(rng, n))
    sequences.sample_pairs(sequences.transliteration(most_syllables=3), 50)
    assert asked == {1, 2, 3}


def test_a_seed_gives_one_list():
    draw = sequences.sample_pairs
    assert draw(TASKS[0], 9, seed=1) == draw(TASKS[0], 9, seed=1) != draw(TASKS[0], 9, seed=2)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: sequences.reversal(shortest=0), "shortest=0"),
        (lambda: sequences.sorting(shortest=5, longest=4), "longest=4"),
        (lambda: sequences.reversal(alphabet=""), "alphabet=''"),
        (lambda: sequences.transliteration(most_syllables=0), "most_syllables=0"),
        (lambda: sample_word(random.Random(0), 0), "syllables=0"),
        (lambda: sequences.sample_pairs(TASKS[0], 0), "count=0"),
        (lambda: sequences.sample_pairs(TASKS[0], 1, part="test"), "part='test'"),
        (
            lambda: sequences.sample_pairs(
                sequences.reversal(shortest=1, longest=1, alphabet="a"), 1, part="valid"
            ),
            "task='reversal'",
        ),
    ],
)
def test_bad_input_is_named(call, names):
    with pytest.raises(ValueError, match=names):
        call()
