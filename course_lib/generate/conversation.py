"""A conversation with a trained model: each turn runs only what its cache does not
hold.

A chat model has no memory: every turn, it is given the whole conversation again. Most
of that text is the same as a turn ago, and so are its keys and values. So the cache is
kept, and of a new turn's tokens only those run that follow the longest stretch in
common. That is a prefix cache for one user.

Terms:
    conversation, multi-turn chat: turns read as one growing text, of which only the new
        tokens run -> Conversation
"""

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

from course_lib.generate.decode import Choose, cached_step
from course_lib.generate.sampling import greedy
from course_lib.generate.streaming import stream, text_pieces
from course_lib.layers.caches.model_cache import ModelCache
from course_lib.models.real.load import RealLM

SLOTS = 1024


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What one answer took.

    Attributes:
        text: the answer.
        stopped: "end" where the model ended its turn, "length" at the most tokens.
        prompt_tokens: of the whole conversation up to the answer.
        reused_tokens: those of them that the cache held.
        new_tokens: of the answer.
        first_token_s: seconds until its first token.
        decode_s: seconds of all later ones.
        cache_bytes: what the tokens in the cache take; it has room for more.
    """

    text: str
    stopped: str
    prompt_tokens: int
    reused_tokens: int
    new_tokens: int
    first_token_s: float
    decode_s: float
    cache_bytes: int

    @property
    def tokens_per_s(self) -> float | None:
        """Decoded tokens a second; None where fewer than two came."""
        later = self.new_tokens - 1
        return later / self.decode_s if later > 0 and self.decode_s > 0 else None


class Conversation:
    """Turns between a user and a model.

    Args:
        lm: from `load_real`.
        sampler: logits [1 vocab] to tokens [1].
        system: a system turn of your own; left out, the template decides.

    Attributes:
        turns: so far, as the chat template takes them.
        last: what the last answer took; None before the first is complete.
    """

    def __init__(
        self, lm: RealLM, sampler: Choose = greedy, system: str | None = None
    ) -> None:
        self.lm, self.sampler = lm, sampler
        self.turns = [] if system is None else [{"role": "system", "content": system}]
        self.last: Reply | None = None
        self._cache: ModelCache | None = None
        self._held: list[int] = []
        self._capacity = 0

    def reply(self, text: str, max_new_tokens: int = 256) -> Iterator[str]:
        """Say something; the answer comes piece by piece.

        Args:
            text: the user's turn.
            max_new_tokens: of the answer, at most.

        Raises:
            ValueError: the conversation with its answer would pass the model's context,
            once the first piece is asked for.
        """
        tokenizer = self.lm.tokenizer
        turns = [*self.turns, {"role": "user", "content": text}]
        prompt = tokenizer.chat(turns)
        reused = self._make_room(prompt.tolist(), max_new_tokens)
        seconds: list[float] = []
        new: list[int] = []
        tokens = stream(
            cached_step(self.lm.model, self._cache),
            prompt[reused:],
            max_new_tokens=max_new_tokens,
            sampler=self.sampler,
            eos=tokenizer.end,
            start=reused,
        )
        said = []
        for piece in text_pieces(_timed(tokens, new, seconds), tokenizer.decode):
            said.append(piece)
            yield piece
        answer = "".join(said)
        self.turns = [*turns, {"role": "assistant", "content": answer}]
        length = self._cache.length
        self._held = [*prompt.tolist(), *new][:length]
        self.last = Reply(
            text=answer,
            stopped="length" if len(new) == max_new_tokens else "end",
            prompt_tokens=len(prompt),
            reused_tokens=reused,
            new_tokens=len(new),
            first_token_s=seconds[0],
            decode_s=sum(seconds[1:]),
            cache_bytes=self._cache.nbytes * length // self._capacity,
        )

    def _make_room(self, prompt: list[int], new: int) -> int:
        """See to a cache with room for all; return how many tokens of the prompt it
        holds.
        """
        context, needed = self.lm.model.spec.context, len(prompt) + new
        if context is not None and needed > context:
            raise ValueError(
                f"the conversation has {len(prompt)} tokens, and max_new_tokens={new}: "
                f"allowed are {context} together"
            )
        held, self._held = self._held, []  # not known while an answer runs
        if held and needed <= self._capacity and prompt[: len(held)] == held:
            return len(held)
        self._capacity = -(-needed // SLOTS) * SLOTS
        self._cache = self.lm.model.make_cache(1, self._capacity)
        return 0


def _timed(tokens: Iterator[int], new: list[int], seconds: list[float]) -> Iterator:
    """Pass tokens on; note each, and the seconds it took, the reader's own left out."""
    while True:
        began = perf_counter()
        token = next(tokens, None)
        seconds.append(perf_counter() - began)
        if token is None:
            return
        new.append(token)
        yield token
