"""Cards are read or refused by file, card and field; variants are computed; quizzes are fixed by a seed."""

import json
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from course_lib.course.cards.form import FIELDS, problems
from course_lib.course.cards.quiz import choose, fnv1a, generator, pick, shown_order, shuffled
from course_lib.course.cards.reader import read_cards
from course_lib.course.cards.schema import KINDS
from course_lib.course.cards.units import UNITS, convert, from_base, read_number
from course_lib.course.cards.variants import MOST, combinations, variants
from course_lib.kit.values import record

CURRICULUM = {"03_kv_cache": {"topics": ["kv-why", "mla"]}, "04_moe": {"topics": ["moe-concept"]}}
BASE = {"id": "a-card", "topics": ["kv-why"], "section": "kv-why", "question": "Why?"}
WRONG = {"text": "no", "misconception": "it-is-no", "because": "It is not.", "section": "kv-why"}
BYTES = {"kv_heads": 8, "head_dim": 128, "layers": 80, "bytes_per_element": 2}
GOOD = {
    "recall": {"answer": "So."},
    "choice": {
        "options": [
            {"text": "yes", "correct": True, "because": "It is."},
            WRONG,
            WRONG | {"text": "never"},
        ]
    },
    "computed": {
        "question": "{tokens:,} tokens, {batch}?",
        "parameters": {"tokens": [4096, 32768], "batch": [1, 8]},
        "call": "course_lib.costs.cache.kv_cache_bytes",
        "arguments": {"tokens": "{tokens}", "batch": "{batch}", **BYTES},
        "unit": "GiB",
        "tolerance": 0.01,
        "explanation": "$2^{{10}}$ times {tokens}: {answer}",
    },
    "order": {"items": ["a", "b", "c"], "explanation": "So."},
    "match": {"pairs": [["a", "1"], ["b", "2"], ["c", "3"]], "explanation": "So."},
    "predict": {"value": "03_kv_cache/01_x:total", "tolerance": 0.1, "explanation": "It is {answer}."},
}


def card(kind, /, **fields):
    return BASE | {"kind": kind} | GOOD[kind] | fields


@pytest.fixture
def cards_in(tmp_path):
    """Return a function that writes a file of cards, or its text, and reads the folder."""

    def read(entries, chapter="03_kv_cache"):
        folder = tmp_path / "book" / "cards"
        folder.mkdir(parents=True, exist_ok=True)
        content = entries if isinstance(entries, str) else yaml.safe_dump(entries)
        (folder / f"{chapter}.yml").write_text(content, encoding="utf-8")
        return read_cards(folder, CURRICULUM)

    return read


def test_each_kind_is_read(cards_in):
    found = cards_in([card(kind, id=f"a-{kind}") for kind in GOOD])
    assert [one.kind for one in found] == list(GOOD) == list(KINDS) == list(FIELDS)
    assert {(one.chapter, one.topics, one.section) for one in found} == {
        ("03_kv_cache", ("kv-why",), "kv-why")
    }
    choice = found[1]
    assert choice.answer.text == "yes"
    assert [option.misconception for option in choice.options] == ["", "it-is-no", "it-is-no"]
    assert found[2].parameters == {"tokens": (4096, 32768), "batch": (1, 8)}
    assert found[4].pairs == (("a", "1"), ("b", "2"), ("c", "3"))
    assert found[0].where == "book/cards/03_kv_cache.yml: a-recall"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (card("recall", kind="recal"), r"kind='recal': allowed is one of .*\(did you mean recall\?\)"),
        (card("recall", id="A card"), "id='A card': allowed is the form"),
        (card("recall", answer=" "), "answer: empty"),
        (card("recall", topics=[]), "topics: empty"),
        (card("recall", topics=[3]), "topics: 3: allowed is text"),
        (card("recall", topics=["kv-wy"]), r"topics: 'kv-wy' is not in .*\(did you mean kv-why\?\)"),
        (card("recall", hint="x"), "hint: no such field"),
        (card("choice", options=[WRONG]), "options: 1 are given; allowed are 3 or more"),
        (card("choice", options=[WRONG, WRONG, WRONG]), "options: 'no' stands 3 times"),
        (
            card("choice", options=[WRONG, WRONG | {"text": "b"}, WRONG | {"text": "c"}]),
            "options: 0 are correct",
        ),
        (
            card(
                "choice", options=[*GOOD["choice"]["options"], GOOD["choice"]["options"][0] | {"text": "aye"}]
            ),
            "options: 2 are correct; allowed is exactly one",
        ),
        (card("choice", options=["a", "b", "c"]), "options 1: 'a': allowed is a mapping"),
        (card("choice", options=[WRONG, WRONG, {"text": "x"}]), "options 3: misconception: missing"),
        (
            card("choice", options=[WRONG | {"correct": False}] * 3),
            "options 1: correct=False: allowed is true",
        ),
        (card("computed", tolerance=1.5), "tolerance=1.5: allowed is a share"),
        (card("computed", tolerance=math.nan), "tolerance=nan: allowed is a share"),
        (card("computed", unit="Gib"), r"unit='Gib': allowed are .*\(did you mean GiB\?\)"),
        (card("computed", call="os.system"), "call='os.system': allowed is the form"),
        (
            card("computed", question="{token} {batch} {tokens}"),
            r"question: {token} is no parameter; allowed",
        ),
        (card("computed", question="{tokens} only"), "parameters.batch: not in the question"),
        (card("computed", question="$x_{0$ {tokens} {batch}"), "question: .*stands twice: {{ and }}"),
        (card("computed", question="{tokens.real} {batch}"), "question: {tokens.real} is no parameter"),
        (card("computed", question="{tokens!r} {batch}"), "question: {tokens} is no parameter"),
        (card("computed", explanation="{answr}"), "explanation: {answr} is no parameter"),
        (card("computed", parameters={"tokens": 4}), "parameters.tokens=4: allowed is a list"),
        (card("computed", parameters={"tokens": [1, 1]}), r"parameters.tokens=\[1, 1\]: each value"),
        (card("computed", parameters={"tokens": [[1]]}), r"parameters.tokens=\[\[1\]\]: allowed are numbers"),
        (card("computed", arguments={"n": "{token}"}), r"arguments.n='{token}': no such parameter"),
        (card("computed", arguments={"n": {"call": "course_lib.a.b"}}), "arguments.n.arguments: missing"),
        (card("order", items=["a", "b", "a"]), "items: 'a' stands 2 times"),
        (card("order", items=["a", "b"]), "items: 2 are given"),
        (card("match", pairs=[["a", "1"], ["b", "1"], ["c", "2"]]), r"pairs \(right\): '1' stands 2 times"),
        (card("match", pairs=[["a"], ["b", "1"], ["c", "2"]]), r"pairs: \['a'\]: allowed is"),
        (card("predict", value="01_x:total"), "value='01_x:total': allowed is the form"),
        ("a word", "a card is a mapping"),
    ],
)
def test_what_is_wrong_is_named_by_file_card_and_field(cards_in, entry, message):
    name = entry["id"] if isinstance(entry, dict) else entry
    with pytest.raises(ValueError, match=rf"(?m)^book/cards/03_kv_cache\.yml: {name}: {message}"):
        cards_in([entry])


def test_everything_wrong_is_said_at_once(cards_in):
    with pytest.raises(ValueError) as raised:
        cards_in([card("recall", answer="", section=5), card("order", id="b", items=[]), 7])
    assert len(str(raised.value).splitlines()) == 4


def test_an_id_stands_once_in_the_course(cards_in):
    cards_in([card("recall", topics=["moe-concept"])], chapter="04_moe")
    with pytest.raises(ValueError, match="a-card: id: stands 2 times") as raised:
        cards_in([card("order")])
    assert len(str(raised.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- id: [", "not readable as YAML"),
        ("id: a", "the file is a list of cards"),
        ("- {id: a, id: b}", "line 1: field 'id' stands twice"),
        ("- !!int ''", "not readable as YAML"),
        ("- !!timestamp x", "not readable as YAML"),
        ("- !!python/name:os.system ''", "not readable as YAML"),
        ("", "the file is a list of cards"),
        ("- " + "[" * 50_000, "not readable as YAML"),
        ("- &a [*a]", r"\[\[...\]\]: a card is a mapping"),
    ],
)
def test_a_file_that_is_no_list_is_refused(cards_in, text, message):
    with pytest.raises(ValueError, match=f"book/cards/03_kv_cache.yml: {message}"):
        cards_in(text)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
WORDS = st.sampled_from([*BASE, "kind", *GOOD["computed"], "options", "items", "pairs", "value", "{a}", "{"])
ANYTHING = st.recursive(
    SCALARS | WORDS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.sampled_from(list(GOOD)), st.dictionaries(WORDS, ANYTHING, max_size=3), st.booleans())
def test_any_data_is_judged_and_never_breaks_the_reader(kind, fields, whole):
    entry = card(kind, **fields) if whole else {"kind": kind, **fields}
    found = list(problems(entry))
    assert all(isinstance(what, str) and ":" in what for what in found) or "kind" not in entry
    if not found:
        assert entry["kind"] in KINDS


@given(st.lists(ANYTHING, max_size=3) | ANYTHING)
def test_a_file_of_any_data_gives_cards_or_a_ValueError_with_its_name(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cards")
    (folder / "03_kv_cache.yml").write_text(yaml.safe_dump(data), encoding="utf-8")
    try:
        found = read_cards(folder, CURRICULUM)
    except ValueError as error:
        assert all(line.startswith("book/cards/03_kv_cache.yml: ") for line in str(error).split("\n"))
    else:
        assert found == ()


@given(st.text(alphabet="-: []{}&*!|>'\"#%@ \n\tid?,.0x") | st.binary())
def test_a_file_of_any_text_gives_cards_or_a_ValueError_with_its_name(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("cards")
    (folder / "03_kv_cache.yml").write_bytes(content.encode() if isinstance(content, str) else content)
    try:
        assert read_cards(folder, CURRICULUM) == ()
    except ValueError as error:
        assert all(line.startswith("book/cards/03_kv_cache.yml: ") for line in str(error).split("\n"))


def computed(**fields):
    """Return a computed card as the reader makes it."""
    entry = card("computed", **fields)
    own = {key: value for key, value in entry.items() if key != "kind"}
    own["parameters"] = {name: tuple(values) for name, values in own["parameters"].items()}
    return KINDS["computed"](chapter="03_kv_cache", **own | {"topics": ("kv-why",)})


def test_a_computed_card_has_a_variant_for_each_combination():
    found = variants(computed(), ".")
    assert [variant.question for variant in found] == [
        "4,096 tokens, 1?",
        "4,096 tokens, 8?",
        "32,768 tokens, 1?",
        "32,768 tokens, 8?",
    ]
    assert [variant.answer for variant in found] == [1.25, 10, 10, 80]
    assert found[0].explanation == "$2^{10}$ times 4096: 1.25 GiB"
    assert {(variant.unit, variant.tolerance) for variant in found} == {("GiB", 0.01)}


def test_arguments_may_name_models_devices_and_inner_calls():
    inner = {
        "call": "course_lib.costs.cache.kv_cache_bytes",
        "arguments": {"tokens": "{n}", "batch": 1, **BYTES},
    }
    fits = computed(
        question="{n}",
        parameters={"n": [131072]},
        call="course_lib.costs.serving.concurrent_requests",
        arguments={"memory_bytes": 640e9, "weight_bytes": 141e9, "cache_bytes_per_request": inner},
        unit="requests",
        explanation="{answer}",
    )
    assert variants(fits, ".")[0].answer == (640e9 - 141e9) // (40 * 2**30)
    named = computed(
        question="{m}",
        parameters={"m": ["llama-3.1-8b"]},
        call="course_lib.costs.serving.max_concurrency",
        arguments={"spec": "{m}", "hardware": "H100-SXM", "context": 131072},
        unit="requests",
        explanation="{answer}",
    )
    assert variants(named, ".")[0].answer == (0.9 * 80e9 - 2 * 8_030_261_248) // (16 * 2**30)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"arguments": {"tokens": "{tokens}"}}, "call: .*kv_cache_bytes raised"),
        ({"call": "course_lib.costs.cache.no_such"}, "call: .*no_such raised"),
        ({"call": "course_lib.specs.loader.list_specs", "arguments": {}}, "allowed is a finite number"),
        ({"arguments": {"spec": "no-such-model"}}, "no-such-model"),
    ],
)
def test_a_call_that_gives_no_number_is_named(fields, message):
    with pytest.raises(ValueError, match=f"book/cards/03_kv_cache.yml: a-card: .*{message}"):
        variants(computed(**fields), ".")


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 7).map(lambda n: tuple(range(n)))))
def test_combinations_are_all_or_as_many_as_allowed_and_different(parameters):
    found = combinations(parameters)
    assert len(found) == min(MOST, math.prod(map(len, parameters.values())))
    assert len({tuple(one.items()) for one in found}) == len(found)
    assert all(one[name] in values for one in found for name, values in parameters.items())


def predict(root, **fields):
    stored = {"data": record(total=(10.5, "GiB"))._repr_mimebundle_()}
    path = root / "notebooks" / "03_kv_cache" / "01_x.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "outputs": [stored]}]}), encoding="utf-8")
    own = {key: value for key, value in card("predict", **fields).items() if key != "kind"}
    return KINDS["predict"](chapter="03_kv_cache", **own)


def test_a_prediction_is_held_against_the_notebook(tmp_path):
    (variant,) = variants(predict(tmp_path, question="How much of {total}?"), tmp_path)
    assert (variant.answer, variant.unit, variant.tolerance) == (10.5, "GiB", 0.1)
    assert (variant.question, variant.explanation) == ("How much of 10.5 GiB?", "It is 10.5 GiB.")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"value": "03_kv_cache/01_x:sum"}, "value: .*records no 'sum'"),
        ({"value": "03_kv_cache/02_x:total"}, "value: 03_kv_cache/02_x cannot be read"),
        ({"question": "{n} of $x_{1}$"}, "question: .*is not recorded there"),
        ({"explanation": "{0}"}, "explanation: "),
    ],
)
def test_a_prediction_without_its_value_is_named(tmp_path, fields, message):
    wrong = predict(tmp_path, **fields)
    with pytest.raises(ValueError, match=f"03_kv_cache.yml: a-card: {message}"):
        variants(wrong, tmp_path)


def test_the_hash_gives_the_published_values():
    """From the test suite of the algorithm's authors."""
    known = {"": 0x811C9DC5, "a": 0xE40C292C, "b": 0xE70C2DE5, "foobar": 0xBF9CF968}
    assert {text: fnv1a(text) for text in known} == known


def test_the_generator_draws_what_the_page_draws():
    """Values of the JavaScript form in node; tests/browser holds whole quizzes equal."""
    draw = generator("ünï")
    assert [draw(below) for below in (10, 1000, 7, 1 << 20)] == [2, 271, 4, 677296]


@given(st.text(), st.integers(1, 1000))
def test_draws_are_below_their_bound(seed, below):
    draw = generator(seed)
    assert all(0 <= draw(below) < below for _ in range(20))
    assert 0 <= choose(below, seed) < below


@given(st.lists(st.integers()), st.text())
def test_a_shuffle_loses_nothing_and_repeats(items, seed):
    assert sorted(shuffled(items, seed)) == sorted(items)
    assert shuffled(items, seed) == shuffled(items, seed)


@given(st.integers(2, 9), st.text())
def test_what_is_shown_never_stands_in_the_order_of_the_file(count, seed):
    found = shown_order(count, seed)
    assert sorted(found) == list(range(count)) != found


def test_shuffles_are_even():
    """Each item comes first in about a quarter of 4,000 shuffles: 1,000 with a deviation of 27."""
    firsts = [shuffled("abcd", f"seed {number}")[0] for number in range(4000)]
    assert all(850 < firsts.count(item) < 1150 for item in "abcd")


@pytest.mark.parametrize("n", [0, 7, -1])
def test_a_quiz_of_more_cards_than_there_are_is_refused(cards_in, n):
    deck = cards_in([card(kind, id=f"a-{kind}") for kind in GOOD])
    with pytest.raises(ValueError, match=f"n={n}: allowed is 1 to 6"):
        pick(deck, n, "seed")


def test_a_quiz_is_fixed_by_its_seed(cards_in):
    deck = cards_in([card(kind, id=f"a-{kind}") for kind in GOOD])
    assert pick(deck, 4, "monday") == pick(deck[::-1], 4, "monday")
    assert len({one.id for one in pick(deck, 4, "monday")}) == 4
    assert len({tuple(one.id for one in pick(deck, 4, str(seed))) for seed in range(40)}) > 30


@given(st.sampled_from(list(UNITS)), st.sampled_from(list(UNITS)), st.floats(1e-6, 1e6))
def test_units_convert_there_and_back_or_not_at_all(unit, to, number):
    if UNITS[unit][0] != UNITS[to][0]:
        with pytest.raises(ValueError, match="allowed is a unit like"):
            convert(number, unit, to)
    else:
        assert convert(convert(number, unit, to), to, unit) == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "number"),
    [
        ("40", "GiB", 40),
        (" 40 GiB ", "GiB", 40),
        ("42.94967296GB", "GiB", 40),
        ("1,024 MiB", "GiB", 1),
        ("12 µs", "ms", 0.012),
        ("8x", "x", 8),
        ("25 %", "", 0.25),
        ("1e9", "parameters", 1e9),
        (".5", "%", 0.5),
        ("9.4 B parameters", "parameters", 9.4e9),
        ("40960 mib", "GiB", 40),
        ("1 request", "requests", 1),
    ],
)
def test_a_typed_number_is_read_with_its_unit(text, unit, number):
    assert read_number(text, unit) == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["", "many", "40 GiB", "nan", "inf", "4 0 furlongs", "1e999", "--4", "1.2.3"]
)
def test_what_is_no_number_of_that_kind_is_refused(text):
    with pytest.raises(ValueError, match="allowed"):
        read_number(text, "tokens")


@given(st.text(max_size=12))
def test_any_typed_text_is_a_number_or_refused(text):
    try:
        assert math.isfinite(read_number(text, "GiB"))
    except ValueError as error:
        assert "allowed" in str(error)


def test_whole_answers_are_whole():
    assert from_base(40 * 2**30, "GiB") == 40
    assert isinstance(from_base(40 * 2**30, "GiB"), int)
    assert from_base(1.5, "ms") == 1500
