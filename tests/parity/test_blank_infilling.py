"""Blank infilling: the layout against its definition, the model against GPT-2 under a hand-made mask."""

import random

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from course_lib.layers.masks import prefix
from course_lib.layers.positions.numbering import next_positions
from course_lib.models.blank_infilling import BlankInfillingLM, blank_out
from course_lib.models.checkpoints.weights import load_hf_weights
from course_lib.models.lm import CausalLM
from course_lib.specs.from_hf import spec_from_hf_config
from tests.parity.against_transformers import TOLERANCE, Pair

MASK, START, END = 1, 2, 3
SIZES = {"n_embd": 18, "n_head": 3, "n_layer": 3, "n_positions": 25, "vocab_size": 29}
SPANS = [(1, 4), (5, 6), (9, 11)]


@pytest.fixture(scope="module")
def pair():
    pair = Pair(GPT2Config(**SIZES), GPT2LMHeadModel)
    pair.glm = BlankInfillingLM(pair.spec, longest_span=6).double().eval()
    pair.glm.load_state_dict(pair.ours.state_dict(), strict=False)
    pair.glm.within.table.weight.data.normal_()
    return pair


def laid_out(seed=0, order=(2, 0, 1)):
    torch.manual_seed(seed)
    return blank_out(
        torch.randint(4, 29, (13,)), SPANS, mask_id=MASK, start_id=START, end_id=END, order=order
    )


def batch(blanks):
    return blanks.tokens[None], blanks.places[None], blanks.within[None]


def mask_by_definition(blanks) -> torch.Tensor:
    """Du et al. 2022, section 2.1, token by token: who stands in A, and in which of the spans as written."""
    part = [0 if not said else None for said in blanks.predicted.tolist()]
    written = 0
    for i, token in enumerate(blanks.tokens.tolist()):
        if part[i] is None:
            written += token == START
            part[i] = written
    n = len(part)
    mask = torch.zeros(n, n, dtype=torch.bool)
    for query in range(n):
        for key in range(n):
            if part[query] == 0:
                mask[query, key] = part[key] == 0
            elif part[key] == part[query]:
                mask[query, key] = blanks.within[key] <= blanks.within[query]
            else:
                mask[query, key] = part[key] < part[query]  # A, and the spans written before
    return mask


def restored(blanks) -> list[int]:
    """The text again, from A and from what each span has to say."""
    said: dict[int, list[int]] = {}
    for place, target in zip(blanks.places[blanks.predicted], blanks.targets[blanks.predicted], strict=True):
        said.setdefault(int(place), []).append(int(target))
    assert all(span[-1] == END and END not in span[:-1] for span in said.values())
    kept = blanks.tokens[: blanks.prefix_length].tolist()
    return [
        word for place, token in enumerate(kept) for word in (said[place][:-1] if token == MASK else [token])
    ]


@pytest.mark.parametrize("seed", range(20))
def test_the_layout_says_the_whole_text_and_its_mask_is_a_prefix(seed):
    rng, text = random.Random(seed), torch.randint(4, 99, (23,))
    cuts = sorted(rng.sample(range(24), 2 * rng.randint(1, 5)))
    spans = list(zip(cuts[::2], cuts[1::2], strict=True))
    order = rng.sample(range(len(spans)), len(spans))
    blanks = blank_out(text, spans, mask_id=MASK, start_id=START, end_id=END, order=order)
    assert restored(blanks) == text.tolist()
    hidden = sum(end - start for start, end in spans)
    assert blanks.prefix_length == 23 - hidden + len(spans)
    assert int(blanks.predicted.sum()) == hidden + len(spans)
    places = next_positions(0, 1, len(blanks.tokens))
    mask_mod = prefix(blanks.prefix_length).mask(places, places)[0]
    assert torch.equal(mask_mod, mask_by_definition(blanks))


@torch.no_grad()
def test_gpt2_under_a_mask_by_definition(pair):
    """Theirs is given each token's vector, with the second position added, and the first as its position."""
    blanks = laid_out()
    vectors = pair.theirs.transformer.wte(blanks.tokens) + pair.glm.within.table.weight[blanks.within]
    seen = mask_by_definition(blanks)[None, None]
    added = torch.zeros(seen.shape, dtype=torch.float64).masked_fill(~seen, float("-inf"))
    expected = pair.theirs(
        inputs_embeds=vectors[None], position_ids=blanks.places[None], attention_mask=added, use_cache=False
    ).logits
    ours = pair.glm(*batch(blanks), prefix_lengths=blanks.prefix_length)
    torch.testing.assert_close(ours, expected, **TOLERANCE)


@torch.no_grad()
def test_a_span_does_not_see_what_is_written_after_it(pair):
    """The last token of each beginning of the layout says the same as in the whole."""
    blanks = laid_out()
    whole = pair.glm(*batch(blanks), prefix_lengths=blanks.prefix_length)
    for n in range(blanks.prefix_length, len(blanks.tokens) + 1):
        part = [row[:, :n] for row in batch(blanks)]
        ours = pair.glm(*part, prefix_lengths=blanks.prefix_length, last_only=True)
        torch.testing.assert_close(ours[:, 0], whole[:, n - 1], **TOLERANCE)


@torch.no_grad()
def test_cached_steps_equal_the_full_pass(pair):
    blanks = laid_out()
    rows, p, n = batch(blanks), blanks.prefix_length, len(blanks.tokens)
    whole, cache = pair.glm(*rows, prefix_lengths=p), pair.glm.make_cache(1, n)
    for start, end in ((0, p), (p, p + 3), *((i, i + 1) for i in range(p + 3, n))):
        ours = pair.glm(*(row[:, start:end] for row in rows), cache, prefix_lengths=p)
        torch.testing.assert_close(ours, whole[:, start:end], **TOLERANCE)


@torch.no_grad()
def test_padding_on_the_left_changes_nothing(pair):
    blanks = laid_out()
    rows = [torch.cat((torch.zeros(1, 2, dtype=torch.long), row), dim=1) for row in batch(blanks)]
    order = torch.arange(-2, len(blanks.tokens))[None].clamp(min=-1)
    ours = pair.glm(*rows, prefix_lengths=blanks.prefix_length, order=order)[:, 2:]
    expected = pair.glm(*batch(blanks), prefix_lengths=blanks.prefix_length)
    torch.testing.assert_close(ours, expected, **TOLERANCE)


@pytest.mark.parametrize(
    ("spans", "order", "message"),
    [
        ([(2, 2)], None, r"spans=.*\(2, 2\) is not allowed; here 0 <= start < end <= 7"),
        ([(2, 4), (3, 5)], None, r"\(3, 5\) is not allowed; here 4 <= start"),
        ([(4, 9)], None, r"\(4, 9\) is not"),
        ([(1, 2), (3, 4)], [0, 0], r"order=\[0, 0\]: allowed is each of 0 to 1 once"),
    ],
)
def test_bad_spans_are_named(spans, order, message):
    with pytest.raises(ValueError, match=message):
        blank_out(torch.arange(7), spans, mask_id=1, start_id=2, end_id=3, order=order)


def test_layers_with_positions_of_their_own_are_refused():
    llama = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 7}
    spec = spec_from_hf_config(llama | {"num_hidden_layers": 1, "intermediate_size": 5})
    with pytest.raises(ValueError, match="learned_positions=0"):
        BlankInfillingLM(spec, longest_span=3)
    with pytest.raises(ValueError, match="longest_span=0"):
        BlankInfillingLM(spec, longest_span=0)


def test_its_other_weights_are_those_of_the_causal_model(pair):
    again = CausalLM(pair.spec).double()
    load_hf_weights(again, pair.theirs.state_dict())
    extra = pair.glm.state_dict().keys() - again.state_dict().keys()
    assert extra == {"within.table.weight"}
