"""Drafts of multi-token prediction equal those of `MtpModel` of `transformers`, weights through file names.

Its training loss cannot be compared: in 5.23 `labels=` raises a TypeError. `tests/unit/test_mtp.py` has the
loss by hand.
"""

from copy import deepcopy

import pytest
import torch
from transformers import CONFIG_MAPPING, DeepseekV3ForCausalLM
from transformers.cache_utils import MtpCache
from transformers.modeling_layers import MtpModel

from course_lib.generate.decode import cached_step, generate
from course_lib.generate.self_speculation import Dice, Drafter, self_speculate
from course_lib.models.checkpoints.mtp_weights import load_mtp_weights
from course_lib.models.mtp import MTP
from tests.parity.against_transformers import BALANCE, Pair, in_float64
from tests.parity.tiny_moe import MODELS

DEPTH = 2


class MtpPair(Pair):
    """DeepSeek-V3 with two modules, theirs and ours."""

    def __init__(self) -> None:
        config = CONFIG_MAPPING["deepseek_v3"].from_dict(deepcopy(MODELS["deepseek-v3"][1]))
        config.num_mtp_layers = DEPTH
        super().__init__(config, DeepseekV3ForCausalLM)
        with in_float64(self.modeling):
            self.their_mtp = MtpModel(self.theirs, DEPTH).double().eval()
        self.their_mtp.config._attn_implementation = "eager"
        self.their_mtp.config._experts_implementation = "eager"
        own = ("layers.",)
        for name, parameter in self.their_mtp.named_parameters():
            if name.startswith(own):
                parameter.data = torch.randn_like(parameter) * 0.3
        for name, buffer in self.their_mtp.named_buffers():
            if name.startswith(own) and name.endswith(BALANCE):
                buffer.copy_(torch.randn_like(buffer) * 0.3)
        self.mtp = MTP(self.ours, DEPTH).double().eval()
        load_mtp_weights(self.mtp, self.in_a_file())

    def in_a_file(self) -> dict[str, torch.Tensor]:
        """Their modules' tensors under the names of DeepSeek-V3's checkpoint, the model's beside them."""
        tensors, first = dict(self.theirs.state_dict()), len(self.spec.layers)
        for name, tensor in self.their_mtp.state_dict().items():
            if name.startswith("layers."):
                _, index, rest = name.split(".", 2)
                rest = rest.removeprefix("mtp_block.").replace("post_norm", "shared_head.norm")
                tensors[f"model.layers.{first + int(index)}.{rest}"] = tensor
        for k in range(DEPTH):
            tensors[f"model.layers.{first + k}.embed_tokens.weight"] = self.theirs.model.embed_tokens.weight
            tensors[f"model.layers.{first + k}.shared_head.head.weight"] = self.theirs.lm_head.weight
        return tensors


@pytest.fixture(scope="module")
def pair() -> MtpPair:
    return MtpPair()


def likeliest(logits):
    return logits.softmax(-1)


class Greedy(Dice):
    """The likeliest token, whatever the distribution."""

    def draw(self, probabilities) -> int:
        return int(probabilities.argmax())


GREEDY = Greedy(torch.Generator())


def their_drafts(pair: MtpPair, tokens: torch.Tensor, new: int, cache: MtpCache):
    """Their drafts and logits after a pass of the model over all of `tokens` but the last, of which `new`
    places are not in the cache yet."""
    with torch.no_grad(), in_float64(pair.modeling):
        hidden = pair.theirs(tokens[:, :-1], output_hidden_states=True).hidden_states[-1]
        positions = torch.arange(tokens.shape[1])[None]
        return pair.their_mtp(
            input_ids=tokens[:, -new:],
            last_hidden_states=hidden[:, -new:],
            attention_mask=None,
            position_ids=positions[:, -new:],
            mtp_cache=cache,
        )[:2]


def our_hidden(pair: MtpPair, tokens: torch.Tensor) -> torch.Tensor:
    positions = torch.arange(tokens.shape[1])[None]
    with torch.no_grad():
        return pair.ours.hidden(pair.ours.embed(tokens, positions), positions)


@pytest.mark.parametrize("length", [3, 8, 13])
def test_drafts_and_logits(pair, length):
    tokens = pair.tokens(1, length)
    ids, logits = their_drafts(pair, tokens, length - 1, MtpCache(config=pair.theirs.config.get_mtp_config()))
    drafter = Drafter(pair.mtp, 20)
    with torch.no_grad():
        drafts, drawn_from = drafter.draft(tokens, our_hidden(pair, tokens[:, :-1]), likeliest, GREEDY)
    assert drafts == ids[0].tolist()
    torch.testing.assert_close(drawn_from, logits[0].softmax(-1), **pair.tolerance)


def test_one_token_after_another_the_first_depth_goes_on(pair):
    """Their cache holds what depth 1 has read; a second call brings one place more."""
    tokens, cache = pair.tokens(1, 9), MtpCache(config=pair.theirs.config.get_mtp_config())
    drafter = Drafter(pair.mtp, 20)
    hidden = our_hidden(pair, tokens[:, :-1])
    their_drafts(pair, tokens[:, :8], 7, cache)
    with torch.no_grad():
        drafter.draft(tokens[:, :8], hidden[:, :7], likeliest, GREEDY)
        _, drawn_from = drafter.draft(tokens, hidden[:, 7:], likeliest, GREEDY)
    _, logits = their_drafts(pair, tokens, 1, cache)
    torch.testing.assert_close(drawn_from[0], logits[0, 0].softmax(-1), **pair.tolerance)


def test_whole_rows_give_the_same_as_drafts(pair):
    """`MTP.forward`, which trains, and the drafter: depth 1 at the last place."""
    tokens = pair.tokens(1, 9)
    with torch.no_grad():
        logits = pair.mtp(tokens)
        _, drawn_from = Drafter(pair.mtp, 20).draft(
            tokens, our_hidden(pair, tokens[:, :-1]), likeliest, GREEDY
        )
    torch.testing.assert_close(logits[0][:, -1].softmax(-1), drawn_from[:1], **pair.tolerance)


def test_their_loss_is_still_broken(pair):
    with pytest.raises(TypeError, match="NoneType"), in_float64(pair.modeling):
        tokens = pair.tokens(1, 5)
        pair.their_mtp(
            input_ids=tokens,
            last_hidden_states=torch.randn(1, 5, 20).double(),
            attention_mask=None,
            position_ids=torch.arange(5)[None],
            mtp_cache=None,
            labels=tokens,
        )


def test_speculation_of_a_mixture_with_latent_attention(pair):
    prompt = pair.tokens(1, 6)
    plain = generate(cached_step(pair.ours, pair.ours.make_cache(1, 40)), prompt, max_new_tokens=16)
    found = self_speculate(pair.mtp, prompt, max_new_tokens=16)
    assert torch.equal(found.tokens, plain)


def test_a_missing_module_is_refused(pair):
    tensors = pair.in_a_file()
    first = len(pair.spec.layers)
    fewer = {name: one for name, one in tensors.items() if not name.startswith(f"model.layers.{first + 1}.")}
    with pytest.raises(ValueError, match=r"model\.layers\.1\.eh_proj\.weight.*missing"):
        load_mtp_weights(pair.mtp, fewer)
