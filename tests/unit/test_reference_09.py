"""The reference page on hybrids: its table counted again, and every listed skill has its place."""

import re
from pathlib import Path

import pytest

from course_lib.costs.cache import cache_bytes, cache_bytes_per_token
from course_lib.course.pictures.six_hybrids import attends
from course_lib.specs.loader import load_spec

BOOK = Path(__file__).parents[2] / "book"
PAGE = (BOOK / "09_hybrids_reference.md").read_text(encoding="utf-8")
TOKENS, GIB = 262_144, 2**30
MODELS = {
    "Jamba v0.1": "jamba-v0.1",
    "Nemotron-H 56B": "nemotron-h-56b",
    "Nemotron 3 Nano": "nemotron-3-nano-30b-a3b",
    "Qwen3-Next 80B-A3B": "qwen3-next-80b-a3b",
    "Qwen3.5-35B-A3B": "qwen3.5-35b-a3b",
    "Kimi Linear 48B-A3B": "kimi-linear-48b-a3b",
}
SKILLS = """
    mixture of experts, Mamba, RWKV, Longformer, BigBird, sparse attention, state space models, long context,
    expert routing, architecture search frameworks, efficient attention implementations, Switch Transformer,
    GLaM, selective state spaces, linear attention
"""


def rows(name: str) -> list[list[str]]:
    """The cells of a table of the page, without its head."""
    table = PAGE[PAGE.index(f":name: {name}") :].split("```")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def counted(model: str) -> tuple[str, str, str]:
    spec = load_spec(MODELS[model])
    kinds = attends(spec)
    own = cache_bytes(spec, batch=1, tokens=TOKENS) / GIB
    every = cache_bytes_per_token(spec) / sum(kinds) * len(kinds) * TOKENS / GIB
    return f"{sum(kinds)} of {len(kinds)}", f"{own:.2f}", f"{every:.1f}"


def test_the_table_of_models_is_counted_from_their_configurations():
    told = {name: (share, own, every) for name, share, _, own, every in rows("tbl-hyb-models")}
    assert told == {model: counted(model) for model in MODELS}


@pytest.mark.parametrize("skill", [" ".join(name.split()) for name in SKILLS.split(",")])
def test_a_skill_of_the_list_has_its_section(skill):
    (where,) = [where for _, name, where in rows("tbl-hyb-skills") if skill in name]
    labels = {
        label for page in BOOK.glob("*.md") for label in re.findall(r"^\((.+)\)=$", page.read_text(), re.M)
    }
    named = re.findall(r"\]\(#([\w-]+)\)", where)
    assert set(named) <= labels and (named or "chapter 6" in where)
