"""The diagrams of Qwen3.5-35B-A3B say and draw what the library counts."""

from course_lib.costs.cache import cache_line
from course_lib.costs.params import param_count
from course_lib.course.pictures import hybrid_in_numbers, hybrid_paths
from course_lib.course.sentence import recorded
from course_lib.specs.loader import load_spec
from course_lib.specs.records import AttentionSpec
from tests.unit.drawn import cells

SPEC = load_spec("qwen3.5-35b-a3b")
ATTENDS = [isinstance(layer.mixer, AttentionSpec) for layer in SPEC.layers]
LINE = cache_line(SPEC)


def words(panel) -> list[str]:
    return [text.words for text in panel.pen.texts]


def test_layers_and_experts_are_counted():
    layers, experts = hybrid_in_numbers.draw().panels
    moe, count = SPEC.layers[0].ffn, param_count(SPEC)
    assert (cells(layers, "p state"), cells(layers, "p attn")) == (ATTENDS.count(False), ATTENDS.count(True))
    assert (cells(experts, "p ffn"), cells(experts, "b ffn")) == (moe.top_k, moe.experts - moe.top_k)
    assert f"{LINE.bytes_per_token // 1024} KiB for each token" in words(layers)
    assert f"{count.total / 1e9:.1f} billion parameters" in words(experts)
    assert f"{count.active / 1e9:.2f} active for a token" in words(experts)


def test_the_rows_of_layers_are_in_the_models_order():
    (last,) = {i % 4 for i, attends in enumerate(ATTENDS) if attends}
    assert last == 3 and len(ATTENDS) == 40


def test_paths_run_over_the_sentence_and_say_what_is_kept():
    (panel,) = hybrid_paths.draw().panels
    said = words(panel)
    assert [piece.strip() for piece in recorded().pieces] == said[1:6]
    state = LINE.fixed_bytes / ATTENDS.count(False) / 2**20
    assert said.count(f"{state:.1f} MiB") == ATTENDS.index(True) == 3
    assert said.count(f"{LINE.bytes_per_token / ATTENDS.count(True) / 1024:.0f} KiB") == 1
    assert f"These 4 layers stand {len(ATTENDS) // 4} times in the model." in said
