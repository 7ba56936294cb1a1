"""Inputs of the calculators of recurrent states: what stands against a state, and how
it forgets.
"""

from dataclasses import replace

from course_lib.course.calculators.entry import Input, bits_input, model_input

STATE_INPUTS = (
    replace(
        model_input("rival_kv_heads", "G", "KV heads of attention in its place", 2048),
        default=8,
        group="request",
    ),
    replace(
        model_input("rival_head_dim", "d_k", "Width of its heads", 4096),
        default=128,
        group="request",
    ),
    replace(
        bits_input(
            "state_bytes",
            "b_S",
            "A number of the state",
            "32 in float32; engines may keep it in bf16, 16",
        ),
        default=32,
    ),
    Input(
        name="decay",
        letter=r"\alpha",
        label="Decay per token",
        least=0.01,
        most=0.999999999,
        default=0.999,
        whole=False,
        hint="what a gate leaves of the state at each token",
    ),
    Input(
        name="kept_share",
        letter=r"\varepsilon",
        label="Share that counts as remembered",
        least=0.000001,
        most=0.99,
        default=0.5,
        whole=False,
        group="limits",
        hint="0.5 gives the half-life",
    ),
    Input(
        name="significant_bits",
        letter="p",
        label="Significant bits of a stored decay",
        least=2,
        most=53,
        default=8,
        group="numbers",
        hint="8 in bf16, 11 in fp16, 24 in float32",
    ),
)
