"""Transliteration: Greek to Latin by ELOT 743, the transcription of road signs and
passports.

A rule of this table looks at up to three letters and at the ends of the word, so it is
a small real task of reading one sequence and writing another of another length:

    θ -> th, ψ -> ps          one letter, two letters
    γγ γξ γχ -> ng nx nch     gamma is n before γ ξ χ
    μπ -> b, mp               b at either end of a word, mp inside
    αυ ευ ηυ -> av/af ...     f before θ κ ξ π σ τ φ χ ψ and at the end, else v
    ου -> ou                  while υ alone is y

An accent on the first vowel of a pair, or a diaeresis on the second, parts the pair:
each then stands alone. Accents stay on the vowel they stood on; that of `αύ` moves to
the a.

Source: United Nations resolution V/19 (1987), annex, and the UNGEGN report on Greek,
    version 4.0 (2016).

Terms:
    transliteration, ELOT 743: Greek letters to Latin ones by rules that look at the
        neighbours -> romanise
"""

import random
import unicodedata
from itertools import groupby

ACUTE, DIAERESIS = "\u0301", "\u0308"


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_LATIN = _list("a v g d e z i th i k l m n x o p r s s t y f ch ps o")
LATIN = dict(zip("αβγδεζηθικλμνξοπρσςτυφχψω", _LATIN, strict=True))
VOICELESS = frozenset("θκξπσςτφχψ")

# Real names, for what no generator made: a model trained on drawn words can be tested
# on them.
PLACES = _list(
    "αθήνα θεσσαλονίκη πάτρα ηράκλειο λάρισα βόλος ιωάννινα χανιά χαλκίδα λαμία κοζάνη "
    "καβάλα σέρρες τρίπολη ναύπλιο ναύπακτος εύβοια λευκάδα κέρκυρα ρόδος κως σάμος "
    "χίος λέσβος μύκονος νάξος πάρος μήλος σαντορίνη μεσολόγγι πειραιάς καλαμπάκα "
    "επίδαυρος ελευσίνα ταΰγετος πύργος σπάρτη κόρινθος άργος δελφοί αγγλία μάγχη "
    "μπολόνια ρέθυμνο αλεξανδρούπολη ψαρά ζάκυνθος θήβα"
)

_ONSETS = (*_list("β γ δ ζ θ κ λ μ ν ξ π ρ σ τ φ χ ψ μπ ντ γκ στ πρ τρ κλ"), "")
_INSIDE = _list("γγ γχ γξ μπ σσ λλ")
_NUCLEI = _list("α α ε ε η ι ι ο ο υ ω αι ει οι αυ ευ ηυ ου ου")
_CODAS = ("", "", "", "", "ν", "ρ", "λ")
_ENDINGS = ("", "", "ς", "ν", "μπ")

Letter = tuple[str, str]


def romanise(text: str) -> str:
    """Write Greek text in Latin letters. Capitals come out small; what is not Greek
    stays as it is.

    *Cost*: one pass over the letters.
    *Source*: the table's transcription; its reversible variant marks the letters that
        this one merges.
    *Differs from source*: small letters only.

    >>> romanise("Ναύπλιο, Μεσολόγγι, Καλαμπάκα, Μπολόνια, Ταΰγετος")
    'náfplio, mesolóngi, kalampáka, bolónia, taÿ́getos'
    """
    runs = groupby(_letters(text.lower()), key=lambda letter: letter[0] in LATIN)
    parts = (
        _word(list(run)) if greek else [base + marks for base, marks in run]
        for greek, run in runs
    )
    return unicodedata.normalize("NFC", "".join("".join(part) for part in parts))


def sample_word(rng: random.Random, syllables: int) -> str:
    """Draw a word that looks Greek and is none: all rules of the table come up in it,
    one vowel is accented.

    Raises:
        ValueError: `syllables` is below 1.

    >>> sample_word(random.Random(1), 2), sample_word(random.Random(6), 3)
    ('ούχαυν', 'χελθαρπαίς')
    """
    if syllables < 1:
        raise ValueError(f"syllables={syllables}: allowed are whole numbers from 1")
    accented = rng.randrange(syllables)
    word = ""
    for i in range(syllables):
        inside = i > 0 and rng.random() < 0.25
        nucleus = rng.choice(_NUCLEI)
        word += rng.choice(_INSIDE if inside else _ONSETS)
        word += _accent(nucleus, rng) if i == accented else nucleus
        word += rng.choice(_CODAS if i < syllables - 1 else _ENDINGS)
    return unicodedata.normalize("NFC", word)


def _accent(nucleus: str, rng: random.Random) -> str:
    """Accent a nucleus: a pair on its second vowel, now and then parted by one of the
    two ways.
    """
    way = rng.random() if len(nucleus) == 2 else 0.0
    if way < 0.8:
        return nucleus + ACUTE
    return nucleus[0] + ACUTE + nucleus[1] if way < 0.9 else nucleus + DIAERESIS + ACUTE


def _letters(text: str) -> list[Letter]:
    """Split text into letters, each with the accents that follow it."""
    letters: list[Letter] = []
    for character in unicodedata.normalize("NFD", text):
        if letters and character in (ACUTE, DIAERESIS):
            letters[-1] = (letters[-1][0], letters[-1][1] + character)
        else:
            letters.append((character, ""))
    return letters


def _word(letters: list[Letter]) -> list[str]:
    out, i = [], 0
    while i < len(letters):
        pair = _pair(letters, i)
        out.append(
            pair or LATIN[letters[i][0]][0] + letters[i][1] + LATIN[letters[i][0]][1:]
        )
        i += 2 if pair else 1
    return out


def _pair(letters: list[Letter], i: int) -> str | None:
    """What the letters at i and i + 1 are written as together, or None if each stands
    alone.
    """
    if i + 1 == len(letters):
        return None
    (first, marks), (second, accent) = letters[i], letters[i + 1]
    if first == "γ" and second in "γξχ":
        return "n" + LATIN[second]
    if first + second == "μπ":
        return "b" if i == 0 or i + 2 == len(letters) else "mp"
    if second != "υ" or marks or DIAERESIS in accent:
        return None
    if first == "ο":
        return "ou" + accent
    if first in "αεη":
        voiceless = i + 2 == len(letters) or letters[i + 2][0] in VOICELESS
        return LATIN[first] + accent + ("f" if voiceless else "v")
    return None
