"""The diagrams of the KV-cache page say what the library computes."""

from itertools import pairwise

from course_lib.costs.cache import cache_bytes
from course_lib.costs.hardware import load_hardware
from course_lib.costs.serving import max_concurrency
from course_lib.course.pictures import batch_timeline, block_table, cache_steps, kept_by_heads, prefix_tree
from course_lib.kit.values import read_values
from course_lib.layers.caches.plain import append_to_pages
from course_lib.specs.loader import load_spec
from tests.repo.repository import ROOT
from tests.unit.drawn import words


def test_the_passes_are_those_of_the_notebook():
    values = read_values(ROOT / "notebooks/03_kv_cache/08_two_models.ipynb")
    totals = [f"{values[name].value} tokens" for name in ("passes_without", "passes_with")]
    for total, panel in zip(totals, cache_steps.draw().panels, strict=True):
        (said,) = [text.words for text in panel.pen.texts if text.words.startswith("computed: ")]
        assert said.endswith(f"= {total}")


def test_as_many_conversations_are_drawn_as_fit():
    spec, gpu = load_spec("llama-3.1-70b"), load_hardware("H100-SXM")
    for thousands in (32, 128):
        fit = max_concurrency(spec, gpu, context=thousands * 1024, devices=8, reserve=0.1)
        one = cache_bytes(spec, batch=1, tokens=thousands * 1024) / 1e9
        assert f"{thousands}K tokens each: {fit} conversations" in words("node_memory")
        assert f"{fit} × {one:.1f} GB" in words("node_memory")


def test_what_is_kept_by_heads_is_what_a_layer_of_each_model_caches():
    for *_, model, name in kept_by_heads.FORMS:
        spec = load_spec(model)
        size = cache_bytes(spec, batch=1, tokens=1) // len(spec.layers)
        shown = f"{size // 1024} KiB" if size % 1024 == 0 else f"{size:,} bytes"
        assert {name, f"{shown} per layer"} <= set(words("kept_by_heads"))


def test_the_tables_are_those_that_copy_on_write_makes():
    pool, owners, free = [[None] * block_table.SIZE for _ in range(8)], [0] * 8, [4, 3, 6, 7, 2, 5]
    a = []
    for position in range(block_table.TOKENS):
        append_to_pages(str(position), position, a, pool, free, owners)
    assert a == block_table.SHARED
    b = list(a)
    for block in b:
        owners[block] += 1
    append_to_pages("b", block_table.TOKENS, b, pool, free, owners)
    append_to_pages("a", block_table.TOKENS, a, pool, free, owners)
    assert (a, b) == ([5, 2, 7], [5, 2, block_table.COPY])
    drawn = [text.words for text in block_table.draw().panels[1].pen.texts]
    assert drawn.count("→ 7") == drawn.count("→ 6") == 1 and drawn.count("×2") == drawn.count("×1") == 2


def test_all_schedulers_do_the_same_work():
    """A writes 9 tokens, B 3, C 4: the prefill writes one of them."""
    for pieces in (batch_timeline.STATIC, batch_timeline.CONTINUOUS, batch_timeline.CHUNKED):
        tokens, read = dict.fromkeys("ABC", 1), dict.fromkeys("ABC", 0)
        for _, name, kind, start, end in pieces:
            tokens[name] += {"decode": end - start, "slow": (end - start) // 2}.get(kind, 0)
            read[name] += (end - start) * (kind == "prefill")
        assert (tokens, read) == ({"A": 9, "B": 3, "C": 4}, {"A": 2, "B": 2, "C": 6})
        for slot in (0, 1):
            times = sorted((start, end) for at, _, _, start, end in pieces if at == slot)
            assert all(before[1] <= after[0] for before, after in pairwise(times))


def test_a_block_is_shared_by_the_requests_whose_prompts_go_through_it():
    nodes = prefix_tree.NODES
    for node in nodes:
        below = [
            child.requests for child in nodes if child.parent is not None and nodes[child.parent] is node
        ]
        assert node.column == prefix_tree.DEEPEST or sorted("".join(below)) == sorted(node.requests)
