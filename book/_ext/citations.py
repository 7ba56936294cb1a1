"""Citations that would read alike get a letter behind the year: 2025a, 2025b.

`author_year` of sphinxcontrib-bibtex prints the authors and the year, so two papers of
one first author and one year look like one. The letters follow the order of the file,
and the list of references shows them too.
"""

import re
from collections import defaultdict
from string import ascii_lowercase


def authors_as_cited(persons) -> str:
    """The authors as a citation prints them: one, two, or the first "et al."."""
    last = [" ".join(person.last_names) for person in persons]
    return last[0] + " et al." if len(last) > 2 else " and ".join(last)


def add_letters(entries) -> None:
    """Give colliding entries their letter; years that have one are left alone."""
    groups = defaultdict(list)
    for entry in entries.values():
        names = entry.persons.get("author") or entry.persons.get("editor") or ()
        year = entry.fields.get("year", "")
        if names and re.fullmatch(r"\d{4}[a-z]?", year):
            groups[authors_as_cited(names), year[:4]].append(entry)
    for (_, year), alike in groups.items():
        if len(alike) > 1:
            for letter, entry in zip(ascii_lowercase, alike, strict=False):
                entry.fields["year"] = year + letter


def letter_citations(app) -> None:
    """Before any page is read: the data of all bibliographies together."""
    add_letters(app.env.get_domain("cite").bibdata.data.entries)


def setup(app) -> dict:
    app.connect("builder-inited", letter_citations, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
