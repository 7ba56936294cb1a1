"""Costs of selective state spaces: Mamba, and Mamba-2 (SSD).

Symbols: d model width, i inner width (`d_inner`), n state, c width of the short
convolution (`conv`), h heads and g groups of Mamba-2, rank of the step size (`dt_rank`)
of Mamba.

Source: Gu and Dao 2023, Mamba, arXiv 2312.00752; Dao and Gu 2024, Mamba-2, arXiv
    2405.21060.

Terms:
    state size of a state space: d_inner n numbers a layer, whatever the context ->
        state_elements
"""

from course_lib.costs.arithmetic import Number
from course_lib.specs.records import SSMSpec
from course_lib.specs.unions import of_word

PART = "state"


def conv_channels(mixer: SSMSpec) -> Number:
    """Channels of the short convolution: i, and in Mamba-2 the groups' B and C beside
    it, 2 g n.
    """
    if is_mamba2(mixer):
        return mixer.d_inner + 2 * mixer.groups * mixer.state
    return mixer.d_inner


def is_mamba2(mixer: SSMSpec) -> bool:
    """Whether the spec is of Mamba-2; a kind other than the two is refused by name."""
    return of_word("kind", mixer.kind, {"mamba1": False, "mamba2": True})


def weights(mixer: SSMSpec, width: Number) -> Number:
    """Matrix weights: the projections in and out, and the depthwise convolution.

    *Equation*: Mamba, for the step's rank r: 2 d i in (input and gate), c i, then
    i (r + 2 n) + r i for step, B and C, and i d out. Mamba-2: d (i + channels + h) in
    (gate, convolved channels, one step size a head), c channels, i d out.
    """
    i, conv = mixer.d_inner, conv_channels(mixer) * mixer.conv
    if is_mamba2(mixer):
        return width * (i + conv_channels(mixer) + mixer.heads) + conv + i * width
    step = i * (mixer.dt_rank + 2 * mixer.state) + mixer.dt_rank * i
    return width * 2 * i + conv + step + i * width


def vectors(mixer: SSMSpec, width: Number) -> Number:
    """Mamba: A (i x n), D, the step's bias, and in Jamba the norms on step, B and C.
    Mamba-2: A, D and the step's bias by head, and the norm before the way out. Both:
    biases of convolution and projections where there are any.
    """
    channels = conv_channels(mixer)
    conv_bias = channels if mixer.conv_bias else 0
    if is_mamba2(mixer):
        biases = mixer.d_inner + channels + mixer.heads + width if mixer.bias else 0
        norm = mixer.d_inner if mixer.out_norm else 0
        return conv_bias + biases + 3 * mixer.heads + norm
    biases = 2 * mixer.d_inner + width if mixer.bias else 0
    learned = mixer.inner_norm is not None and mixer.inner_norm.gain
    norms = mixer.dt_rank + 2 * mixer.state if learned else 0
    return conv_bias + biases + norms + mixer.d_inner * (mixer.state + 2)


def flops_per_pair(mixer: SSMSpec, *, absorbed: bool = False) -> Number:
    """None: a state space looks at no pairs of tokens."""
    return 0


def step_flops(mixer: SSMSpec) -> Number:
    """The update x <- a x + b u, 3 per element of the state, and the reading c x, 2:
    5 i n.

    Differs from source: exponentials and step sizes are left out, as softmax is.
    Chunked kernels do more arithmetic for the same result, to spend it in matrix
    products.
    """
    return 5 * mixer.d_inner * mixer.state


def token_elements(mixer: SSMSpec, *, latent: bool = True) -> Number:
    """None: the state does not grow with the tokens."""
    return 0


def state_elements(mixer: SSMSpec, width: Number) -> tuple[Number, Number]:
    """Accumulators i n, and the convolution's last inputs, c columns of its channels.

    Differs from source: a convolution of width c needs c - 1 past inputs;
    `transformers` and the authors' kernels hold c, and so does this count.
    """
    return mixer.d_inner * mixer.state, conv_channels(mixer) * mixer.conv
