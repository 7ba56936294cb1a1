"""SmolLM2-135M without one of its parts: which heads does a trained model need, and
what are its positions worth?

Nothing is trained. The weights are those of a 4-bit file (Q4_1), dequantised, so every
number is about that file. Two texts, 8 rows each:

    passages  entries of Python's language reference, the first 96 tokens of each (the
              model may well have read them: they stand for English about code)
    repeats   48 random tokens, twice; the second half can be known only by looking back

Removed: each of 270 heads, one at a time; all heads of a layer; the feed-forward
network of a layer; groups of ten heads, chosen by what they attend to. Positions:
shifted, stretched, turned round, shuffled, switched off. Key/value heads: pooled from 3
to 1. About 12 CPU minutes.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.evaluate.ablation import (
    attention_at,
    feed_forward_removed,
    heads_removed,
    rope_positions,
)
from course_lib.models.lm import CausalLM
from course_lib.models.real.load import RealLM, load_real
from course_lib.tasks.corpora import pydoc_topics
from course_lib.train.experiment import Measurement

ROWS, LENGTH, PERIOD = 8, 96, 48
GROUP, DRAWS = 10, 5
"""How many heads are removed together, and how often at random."""


def passages(lm: RealLM) -> Tensor:
    """The first tokens of the longest entries, one a row."""
    entries = sorted(pydoc_topics().values(), key=len, reverse=True)[:ROWS]
    return torch.tensor([lm.tokenizer.engine.encode(e).ids[:LENGTH] for e in entries])


def repeats(lm: RealLM) -> Tensor:
    """Random tokens, and the same again."""
    vocab = lm.model.spec.vocab
    draw = torch.Generator().manual_seed(0)
    return torch.randint(vocab, (ROWS, PERIOD), generator=draw).repeat(1, 2)


@torch.no_grad()
def row_losses(model: CausalLM, tokens: Tensor, skip: int = 0) -> list[float]:
    """Mean loss of each row, nats per token, from the target `skip` on."""
    return per_row(model(tokens[:, :-1]), tokens, skip)


def per_row(logits: Tensor, tokens: Tensor, skip: int = 0) -> list[float]:
    """The same from logits."""
    target = tokens[:, 1:].flatten()
    losses = F.cross_entropy(logits.flatten(0, 1), target, reduction="none")
    means = losses.view(len(tokens), -1)[:, skip:].mean(1)
    return [round(loss, 5) for loss in means.tolist()]


class Continued:
    """Losses of a model that differs from layer `layer` on: what enters that layer is
    computed once.
    """

    def __init__(self, model: CausalLM, tokens: Tensor) -> None:
        self.model, self.tokens, self.layer = model, tokens, 0
        self.positions = torch.arange(tokens.shape[1] - 1).expand(len(tokens), -1)
        self.entering = model.embed(tokens[:, :-1], self.positions)

    @torch.no_grad()
    def losses(self) -> list[float]:
        """Mean loss of each row."""
        x = self.entering
        for block in self.model.blocks[self.layer :]:
            x = block(x, self.positions)
        return per_row(self.model.head(self.model.final_norm(x)), self.tokens)

    @torch.no_grad()
    def advance(self) -> None:
        """Go on to the next layer, with this one whole."""
        self.entering = self.model.blocks[self.layer](self.entering, self.positions)
        self.layer += 1


def by_layer(model: CausalLM, tokens: Tensor) -> dict:
    """Each head, all heads and the feed-forward network of each layer, removed."""
    run, heads, all_heads, feed_forward = Continued(model, tokens), [], [], []
    for layer, block in enumerate(model.blocks):
        own = [(layer, head) for head in range(block.mixer.heads)]
        heads.append([])
        for head in own:
            with heads_removed(model, [head]):
                heads[-1].append(run.losses())
        with heads_removed(model, own):
            all_heads.append(run.losses())
        with feed_forward_removed(model, [layer]):
            feed_forward.append(run.losses())
        run.advance()
        print(f"layer {layer + 1} of {len(model.blocks)}", flush=True)
    return {"heads": heads, "all_heads": all_heads, "feed_forward": feed_forward}


def kinds_of_attention(model: CausalLM, rows: Tensor) -> Tensor:
    """Attention of each head [l h 3] to the previous token, to the one after the
    earlier copy, and to the first token, over the second half of the repeated rows.
    """
    place = torch.arange(rows.shape[1])
    query, key = place[:, None], place[None, :]
    first = (key == 0).expand(len(place), -1)
    wanted = [key == query - 1, key == query - PERIOD + 1, first]
    wanted = [keys.expand(len(rows), -1, -1) for keys in wanted]
    return attention_at(model, rows, wanted, (place >= PERIOD).expand(len(rows), -1))


def groups(model: CausalLM, text: Tensor, rows: Tensor, found: Tensor) -> dict:
    """Loss on both texts without groups of heads chosen by what they attend to."""
    heads = found.shape[1]
    top = {
        name: found[..., kind].flatten().topk(GROUP).indices.tolist()
        for name, kind in (("previous", 0), ("induction", 1))
    }
    special = {*top["previous"], *top["induction"]}
    rest = [i for i in range(found[..., 0].numel()) if i not in special]
    draw = torch.Generator().manual_seed(1)
    for number in range(DRAWS):
        chosen = torch.randperm(len(rest), generator=draw)[:GROUP]
        top[f"random {number}"] = [rest[i] for i in chosen.tolist()]
    result = {}
    for name, chosen in ({"none": []} | top).items():
        pairs = [divmod(i, heads) for i in chosen]
        with heads_removed(model, pairs):
            text_losses = row_losses(model, text)
            repeat_losses = row_losses(model, rows, PERIOD)
        result[name] = {"heads": pairs, "passages": text_losses}
        result[name] |= {"repeats": repeat_losses}
    return result


def positions(model: CausalLM, text: Tensor) -> dict[str, list[float]]:
    """Losses with rotary positions that are not the tokens' own."""
    shuffled = torch.randperm(LENGTH, generator=torch.Generator().manual_seed(2))
    moves = {
        "their own": lambda p: p,
        "shifted by 1,000": lambda p: p + 1000,
        "twice as far apart": lambda p: 2 * p,
        "backwards": lambda p: LENGTH - p,
        "shuffled": lambda p: shuffled[p],
        "switched off": torch.zeros_like,
    }
    result = {}
    for name, move in moves.items():
        with rope_positions(model, move):
            result[name] = row_losses(model, text)
    return result


def pooled(model: CausalLM, text: Tensor) -> list[float]:
    """Losses after the key/value heads of every layer were replaced by their mean."""
    kept = {name: weight.clone() for name, weight in model.state_dict().items()}
    for block in model.blocks:
        for matrix in (block.mixer.wk, block.mixer.wv):
            heads = matrix.weight.data.unflatten(0, (block.mixer.kv_heads, -1))
            heads.copy_(heads.mean(0, keepdim=True).expand_as(heads))
    losses = row_losses(model, text)
    model.load_state_dict(kept)
    return losses


def measure() -> Mapping:
    """All of it; losses per row, in nats per token."""
    torch.set_num_threads(1)
    lm = load_real("smollm2-135m")
    model, text, rows = lm.model, passages(lm), repeats(lm)
    found = kinds_of_attention(model, rows)
    attention = {
        name: [[round(x, 4) for x in layer] for layer in found[..., kind].tolist()]
        for kind, name in enumerate(("previous", "induction", "first"))
    }
    return {
        "model": lm.name,
        "precision": lm.precision,
        "targets": ROWS * (LENGTH - 1),
        "passages": row_losses(model, text),
        "positions": positions(model, text),
        "pooled": pooled(model, text),
        "attention": attention,
        "groups": groups(model, text, rows, found),
        **by_layer(model, text),
    }


experiment = Measurement(
    asks="Which heads does SmolLM2-135M need, and what are its positions worth?",
    measure=measure,
)
