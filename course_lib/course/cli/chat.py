"""`course chat`: talk with a trained model that runs on this library.

Exit code 130 if Ctrl-C ended it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from course_lib.course.cli.asking import Ended, Screen
from course_lib.course.cli.console import ERR, JSON, OUT, Refused, answer, say
from course_lib.kit.units import bytes_text, plural

if TYPE_CHECKING:
    from course_lib.generate.conversation import Conversation

MODEL = "smollm2-135m"
INTERRUPTED = 130


def chat(
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", "-p", help="Say this, print the answer, and end."),
    ] = None,
    system: Annotated[str | None, typer.Option(help="A system turn.")] = None,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", "-n", min=1, help="Of an answer.")
    ] = 256,
    temperature: Annotated[
        float, typer.Option(min=0, help="0: always the likeliest token.")
    ] = 0.2,
    top_p: Annotated[float, typer.Option(min=0, max=1, help="Mass to draw from.")] = (
        0.9
    ),
    seed: Annotated[int, typer.Option(min=0, help="Of the drawing.")] = 0,
    as_json: JSON = False,
) -> None:
    """Talk with SmolLM2-135M-Instruct, run by this library. q ends.

    It is small, and its weights are 4-bit ones, dequantised: often wrong.
    """
    if prompt is None and as_json:
        raise Refused("--json: allowed with --prompt")
    if prompt is not None and not prompt.strip():
        raise Refused("--prompt is empty: allowed is any text")
    try:
        talk = _conversation(system, temperature, top_p, seed)
        if prompt is None:
            _talk(talk, max_new_tokens)
        else:
            _say_once(talk, prompt, max_new_tokens, as_json)
    except KeyboardInterrupt:
        say("")
        raise typer.Exit(INTERRUPTED) from None


def chat_facts(talk: "Conversation") -> dict[str, Any]:
    """What the last answer took."""
    last = talk.last
    return {
        "model": talk.lm.name,
        "precision": talk.lm.precision,
        "answer": last.text,
        "stopped": last.stopped,
        "prompt_tokens": last.prompt_tokens,
        "reused_tokens": last.reused_tokens,
        "new_tokens": last.new_tokens,
        "first_token_s": last.first_token_s,
        "decode_tokens_per_s": last.tokens_per_s,
        "cache_bytes": last.cache_bytes,
    }


def show(facts: Mapping[str, Any]) -> None:
    """Print the line under an answer."""
    speed = facts["decode_tokens_per_s"]
    parts = [
        plural(facts["prompt_tokens"], "token")
        + f" read ({facts['reused_tokens']} from the cache)",
        f"first answer token after {facts['first_token_s']:.2f} s",
        plural(facts["new_tokens"], "token")
        + (f" at {speed:.1f} a second" if speed else ""),
        f"cache {bytes_text(facts['cache_bytes'])}",
    ]
    if facts["stopped"] == "length":
        parts.append("cut at --max-new-tokens")
    say(f"[{'; '.join(parts)}]")


def _conversation(
    system: str | None, temperature: float, top_p: float, seed: int
) -> "Conversation":
    # Imported here: the other commands start without torch.
    import torch

    from course_lib.generate import conversation
    from course_lib.generate.sampling import Sampler, greedy
    from course_lib.models.real import assets, load

    sampler = greedy
    if temperature:
        stream = torch.Generator().manual_seed(seed)
        sampler = Sampler(generator=stream, temperature=temperature, top_p=top_p)
        sampler.warp(torch.zeros(1, 1))  # refuses settings before the model is loaded
    try:
        with ERR.status(f"Loading {MODEL}; the first time takes longer"):
            lm = load.load_real(MODEL)
    except assets.ModelMissing as error:
        raise Refused(str(error)) from error
    return conversation.Conversation(lm, sampler, system)


def _talk(talk: "Conversation", max_new_tokens: int) -> None:
    screen = Screen(OUT.file)
    screen.say(f"{talk.lm.name}, {talk.lm.precision}. q ends.")
    try:
        while True:
            text = screen.ask("\n> ", _text)
            _print(talk, text, max_new_tokens)
            show(chat_facts(talk))
    except Ended:
        return


def _say_once(
    talk: "Conversation", text: str, max_new_tokens: int, as_json: bool
) -> None:
    if as_json:
        for _ in talk.reply(text, max_new_tokens):
            pass
    else:
        _print(talk, text, max_new_tokens)
    answer(chat_facts(talk), as_json, show)


def _print(talk: "Conversation", text: str, max_new_tokens: int) -> None:
    for piece in talk.reply(text, max_new_tokens):
        OUT.file.write(piece)
        OUT.file.flush()
    OUT.file.write("\n")


def _text(line: str) -> str:
    if not line:
        raise ValueError("an empty line says nothing")
    return line
