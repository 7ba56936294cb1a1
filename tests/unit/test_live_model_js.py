"""The model on the page: its JavaScript gives what the library gives with the same rounded weights."""

import json

import pytest
import torch

from course_lib.costs.flops import flops_per_token
from course_lib.course.live_model.emit import script
from course_lib.course.live_model.kept import WINDOW, live_model, next_bytes
from course_lib.course.live_model.texts import FIRST, TEXTS
from course_lib.evaluate.ablation import feed_forward_removed, heads_removed
from course_lib.train.standard import STANDARD
from tests.javascript import run, static

PARTS = [static(f"live/{part}.js") for part in ("maths", "weights", "model", "session")]
CLOSE = {"rtol": 0, "atol": 1e-5}
# Data come from a script of their own, so that they are not copied into each message.
TOOLS = """
const { Model } = globalThis.liveModel, { Session } = globalThis.liveSession;
const model = new Model(globalThis.liveModelData);
const read = (text, settings) => {
  const session = new Session(model, settings);
  session.read(text);
  return session;
};
const plain = (x) => Array.from(x, Number);
"""


def in_node(body: str, data=None):
    """Run a body with the page's model as `model`."""
    return run(TOOLS + body, data, script(), *PARTS)


def tokens(text: str) -> torch.Tensor:
    return torch.tensor([list(text.encode())])


@pytest.fixture(scope="module")
def model():
    return live_model().double()


@pytest.fixture(scope="module")
def windowed():
    return live_model(WINDOW).double()


def scores(session_settings: dict, text: str) -> torch.Tensor:
    body = "return read(data.text, data.settings).steps.map((step) => plain(step.scores));"
    found = in_node(body, {"text": list(text.encode()), "settings": session_settings})
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("window", [True, False])
def test_every_score_of_every_byte_is_the_librarys(name, window, model, windowed):
    with torch.no_grad():
        want = (windowed if window else model)(tokens(TEXTS[name]))[0]
    torch.testing.assert_close(scores({"window": window}, TEXTS[name]), want, **CLOSE)
