"""book/cards/NN_chapter.yml read and validated; CONTRIBUTING.md describes the form.

Everything that is wrong with the files is said at once, a line each: file, card, field,
what is allowed.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from course_lib.course.cards.form import problems
from course_lib.course.cards.schema import KINDS, Card, Option
from course_lib.kit.entries import near, read_list


def read_cards(
    folder: str | Path, curriculum: Mapping[str, Mapping]
) -> tuple[Card, ...]:
    """Return the cards of all chapters, in the order of the files.

    Args:
        folder: where the files NN_chapter.yml lie.
        curriculum: for each chapter its `topics` (book/curriculum.yml).
    Raises:
        ValueError: if a file is not a list of cards of the documented form, an id
            stands twice in the course, or a topic is not one of the chapter's. Every
            line of the message names file, card and field.
    """
    entries = [
        (path.stem, entry)
        for path in sorted(Path(folder).glob("*.yml"))
        for entry in read_list(path, f"book/cards/{path.name}", "cards")
    ]
    times = Counter(
        str(entry.get("id")) for _, entry in entries if isinstance(entry, dict)
    )
    wrong = []
    for chapter, entry in entries:
        name = _one_line(entry.get("id") if isinstance(entry, dict) else entry)
        found = list(problems(entry)) or list(
            _misplaced(chapter, entry, curriculum, times)
        )
        wrong += [
            f"book/cards/{chapter}.yml: {name}: {_one_line(what)}" for what in found
        ]
    if wrong:
        raise ValueError("\n".join(wrong))
    return tuple(_card(chapter, entry) for chapter, entry in entries)


def _one_line(what: object) -> str:
    return " ".join(str(what).split())


def _misplaced(
    chapter: str, entry: Mapping, curriculum: Mapping, times: Counter
) -> Iterator[str]:
    if times[entry["id"]] > 1:
        yield f"id: stands {times[entry['id']]} times; allowed is once in the course"
    listed = curriculum.get(chapter, {}).get("topics", ())
    for topic in entry["topics"]:
        if topic not in listed:
            yield (
                f"topics: {topic!r} is not in book/curriculum.yml for this "
                f"chapter{near(topic, listed)}"
            )


def _card(chapter: str, entry: Mapping) -> Card:
    """Make the record; lists become tuples, and text loses the line end that YAML's
    blocks leave.
    """
    data = {
        field: value.strip() if isinstance(value, str) else value
        for field, value in entry.items()
    }
    kind = KINDS[data.pop("kind")]
    if kind is KINDS["computed"]:
        data.setdefault("unit", "")
        data["parameters"] = {
            name: tuple(values) for name, values in data["parameters"].items()
        }
    if kind is KINDS["choice"]:
        data["options"] = [Option(**option) for option in data["options"]]
    if kind is KINDS["match"]:
        data["pairs"] = [tuple(pair) for pair in data["pairs"]]
    made = {
        field: tuple(value) if isinstance(value, list) else value
        for field, value in data.items()
    }
    return kind(chapter=chapter, **made)
