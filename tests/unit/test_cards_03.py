"""The cards of chapter 3: an order that its models keep, and the guide's questions."""

from pathlib import Path

import yaml

from course_lib.costs.cache import cache_bytes
from course_lib.course.cards.reader import read_cards
from course_lib.specs.loader import load_spec

ROOT = Path(__file__).resolve().parents[2]
CURRICULUM = yaml.safe_load((ROOT / "book" / "curriculum.yml").read_text(encoding="utf-8"))
DECK = [card for card in read_cards(ROOT / "book" / "cards", CURRICULUM) if card.chapter == "03_kv_cache"]
MIB, GIB = 2**20, 2**30


def test_the_order_of_the_models_is_that_of_their_caches():
    (card,) = [card for card in DECK if card.id == "kv-least-to-most"]
    names = ["mamba-2.8b", "mistral-7b-v0.1", "deepseek-v3", "llama-3.1-70b", "gpt3-175b"]
    assert [item.split(",")[0].replace(" ", "-").lower() for item in card.items] == [
        "gpt-3-175b" if name == "gpt3-175b" else name for name in names
    ]
    held = [cache_bytes(load_spec(name), batch=1, tokens=131072) for name in names]
    assert held == sorted(held)
    assert 10 * MIB < held[0] < 100 * MIB and held[-1] > 100 * GIB


def test_the_guides_questions_are_asked():
    asked = {card.id for card in DECK}
    assert {"q-size-active-kv-latency", "gqa-define", "kv-longer-conversation", "kv-budget-recipe"} <= asked
