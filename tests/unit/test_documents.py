"""Real documentation as a retrieval and as a classification task: no leaks, exact answers, real negatives."""

import inspect
import json.decoder
import random
from collections import Counter

import pytest

from course_lib.tasks import docstrings, documents, intents


@pytest.fixture(scope="module")
def split():
    return documents.retrieval()


@pytest.fixture(scope="module")
def task():
    return intents.intents(12)


def test_docstrings_are_those_that_python_shows():
    found = {(d.module, d.name): d for d in docstrings.stdlib_docstrings()}
    for owner, name in ((json.decoder.JSONDecoder, "raw_decode"), (json.decoder.JSONDecoder, "decode")):
        ours = found["json.decoder", f"JSONDecoder.{name}"]
        theirs = inspect.getdoc(getattr(owner, name)).split("\n\n", 1)
        assert ours.summary == " ".join(theirs[0].split())
        assert ours.details == (" ".join(theirs[1].split()) if len(theirs) > 1 else "")


def test_nested_definitions_and_packages_are_read(tmp_path):
    (tmp_path / "pkg").mkdir()
    file = tmp_path / "pkg" / "__init__.py"
    file.write_text(
        'class A:\n    """One.\n\n    Two\n    three."""\n'
        '    if True:\n        async def f(self):\n            "Do."\n'
        "def g():\n    '''   '''\ndef h(): pass\n"
    )
    assert [(d.name, d.summary, d.details) for d in docstrings.read(file, "pkg")] == [
        ("A", "One.", "Two three."),
        ("A.f", "Do.", ""),
    ]
    assert docstrings._module(file, tmp_path) == "pkg"


def test_there_is_enough_and_each_query_has_one_answer(split):
    everything = documents.documents()
    assert len(everything) > 1000
    assert len({d.query for d in everything}) == len({d.text for d in everything}) == len(everything)
    assert sum(d.group == documents.TOPICS for d in everything) > 50
    assert sorted(map(str, split.train + split.test)) == sorted(map(str, everything))


def test_the_parts_share_no_module(split):
    groups = [{d.group for d in part} - {documents.TOPICS} for part in (split.train, split.test)]
    assert all(any(d.group == documents.TOPICS for d in part) for part in (split.train, split.test))
    assert not groups[0] & groups[1] and min(len(split.train), len(split.test)) > 200


def test_queries_and_texts_are_of_the_sizes_said(split):
    for d in split.train + split.test:
        if d.group != documents.TOPICS:
            assert 20 <= len(d.query) <= 200 and d.query.endswith(".") and len(d.text) >= 80
        else:
            assert set(d.text.split()[0]) - set("*=-~"), "the line under the title is no text"
        assert d.query not in d.text or len(d.query) < 40  # titles are words of their topic


def test_a_seed_gives_one_split(split):
    assert documents.retrieval() == split != documents.retrieval(seed=1)
    assert len(documents.retrieval(test_share=0.5).test) > len(split.test)
    assert documents.retrieval(test_share=1e-9).test  # one module at least


def test_hard_negatives_are_of_the_same_module(split):
    part, rng = split.train, random.Random(0)
    sizes = Counter(d.group for d in part)
    for index in range(0, len(part), 37):
        found = documents.hard_negatives(part, index, 8, rng)
        assert index not in found and len(set(found)) == 8
        near = sum(part[i].group == part[index].group for i in found)
        assert near == min(8, sizes[part[index].group] - 1)
        assert all(part[i].group == part[index].group for i in found[:near])


def test_negatives_of_a_small_group_are_made_up_from_others():
    part = tuple(documents.Document(group, str(i), "", "") for i, group in enumerate("aabbbbb"))
    for seed in range(5):
        found = documents.hard_negatives(part, 0, 6, random.Random(seed))
        assert found[0] == 1 and sorted(found) == [1, 2, 3, 4, 5, 6]


def test_of_equal_docstrings_the_first_is_taken():
    first = {}
    for d in docstrings.stdlib_docstrings():
        first.setdefault((d.summary, d.details), (d.module, d.name))
    found = [d for d in documents.documents() if d.group != documents.TOPICS]
    assert all(first[d.query, d.text] == (d.group, d.name) for d in found)


def test_the_majority_is_that_of_the_training_part():
    train, test = (tuple(intents.Utterance("", i) for i in part) for part in ((0, 0, 1), (1, 1, 0)))
    assert intents.Intents(("a", "b"), train, test).majority_share == 1 / 3


def test_intents_do_not_leak(task):
    assert len(task.names) == 12 and min(len(task.train), len(task.test)) > 200
    assert 0.15 < len(task.test) / len(task.train + task.test) < 0.25  # one in five
    assert not {u.text for u in task.train} & {u.text for u in task.test}
    for u in task.train + task.test:
        assert 20 <= len(u.text) <= 200 and u.text.endswith(".")
        assert task.names[u.intent].lower() not in u.text.lower().split()


def test_intents_are_numbered_by_frequency_and_all_in_both_parts(task):
    both = Counter(u.intent for u in task.train + task.test)
    assert [both[i] for i in range(12)] == sorted(both.values(), reverse=True)
    assert set(range(12)) == {u.intent for u in task.train} == {u.intent for u in task.test}
    counts = Counter(u.intent for u in task.test)
    common = max(range(12), key=lambda i: sum(u.intent == i for u in task.train))
    assert task.majority_share == counts[common] / len(task.test) < 0.3


def test_a_sentence_belongs_to_the_package_it_stands_in(task):
    owners = {}
    for d in docstrings.stdlib_docstrings():
        owners.setdefault(d.summary, set()).add(intents.package(d))
    assert all(owners[u.text] == {task.names[u.intent]} for u in task.train + task.test)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: documents.retrieval(test_share=0.0), "test_share=0.0"),
        (lambda: documents.hard_negatives(documents.retrieval().test[:3], 0, 3, random.Random(0)), "count=3"),
        (lambda: intents.intents(1), "classes=1"),
        (lambda: intents.intents(10_000), "classes=10000"),
    ],
)
def test_bad_input_is_named(call, names):
    with pytest.raises(ValueError, match=names):
        call()
