"""What a model costs: parameters, FLOPs, bytes, seconds, requests. Plain arithmetic,
with no torch.

Reading order: `arithmetic` (numbers or symbols), `mixers` and `feed_forward` (one file
a mechanism says what it costs; their `dispatch` finds it), `norms`, `ends` (embedding
and head), `stack`; then the sums over the layers: `params`, `flops`, `cache`; then what
follows from them: `devices` and `held` (what each of several holds, and what stands
twice), `stored` (a file's own precision), `reserved` (what an engine's pages add),
`hardware` (published limits), `work` and `roofline` (seconds of a pass), `latency`
(seconds of a request), `weights` and `serving` (requests that fit), `summary` (all of
it in one record). `io` (bytes that attention moves) stands by itself; `collectives`
and `links` say what devices send each other, `measured` what engines reached of the
bounds; `binomial`, `experts` and `expert_exchange` are of mixtures: capacity, drops,
replicas, the all-to-all over nodes, the price of memory; `state_handoff` and
`state_or_cache` of recurrent layers: a sequence over several devices, a state beside
keys and values, how far back it remembers; `hybrid_cache`, `spikes` and `search_cost`
of chapter 9.
"""

from course_lib.costs.cache import (
    cache_bytes,
    cache_bytes_per_token,
    cached_tokens,
    kv_cache_bytes,
    score_matrix_bytes,
)
from course_lib.costs.devices import SPLITS, device_params
from course_lib.costs.feed_forward.dispatch import ffn_params, ffn_weights
from course_lib.costs.feed_forward.moe import expected_active_experts
from course_lib.costs.flops import (
    flops_per_token,
    flops_per_token_split,
    prefill_flops,
    prefill_flops_split,
    visible_pairs,
)
from course_lib.costs.hardware import (
    Hardware,
    fastest_arithmetic,
    list_hardware,
    load_hardware,
)
from course_lib.costs.held import held_again
from course_lib.costs.io import stepwise_attention_io, tiled_attention_io
from course_lib.costs.latency import request_latency, request_seconds
from course_lib.costs.mixers.dispatch import (
    attention_flops_per_pair,
    mixer_params,
    mixer_weights,
    recurrence_flops,
    state_elements,
    token_elements,
)
from course_lib.costs.mixers.latent import latent_decode_flops
from course_lib.costs.params import layer_params, param_count
from course_lib.costs.reserved import reserved_cache
from course_lib.costs.roofline import (
    attention_intensity,
    decode_roofline,
    decode_step_time,
    decode_work,
    prefill_roofline,
    prefill_time,
    prefill_work,
    weights_read,
)
from course_lib.costs.serving import (
    cache_equals_weights,
    concurrent_requests,
    device_request_bytes,
    device_weight_bytes,
    devices_needed,
    equal_context,
    fewest_devices,
    max_concurrency,
    tokens_in_all,
    weight_bytes,
)
from course_lib.costs.stored import bits_per_weight, stored_weights
from course_lib.costs.work import roofline_time

__all__ = [
    "SPLITS",
    "Hardware",
    "attention_flops_per_pair",
    "attention_intensity",
    "bits_per_weight",
    "cache_bytes",
    "cache_bytes_per_token",
    "cache_equals_weights",
    "cached_tokens",
    "concurrent_requests",
    "decode_roofline",
    "decode_step_time",
    "decode_work",
    "device_params",
    "device_request_bytes",
    "device_weight_bytes",
    "devices_needed",
    "equal_context",
    "expected_active_experts",
    "fastest_arithmetic",
    "fewest_devices",
    "ffn_params",
    "ffn_weights",
    "flops_per_token",
    "flops_per_token_split",
    "held_again",
    "kv_cache_bytes",
    "latent_decode_flops",
    "layer_params",
    "list_hardware",
    "load_hardware",
    "max_concurrency",
    "mixer_params",
    "mixer_weights",
    "param_count",
    "prefill_flops",
    "prefill_flops_split",
    "prefill_roofline",
    "prefill_time",
    "prefill_work",
    "recurrence_flops",
    "request_latency",
    "request_seconds",
    "reserved_cache",
    "roofline_time",
    "score_matrix_bytes",
    "state_elements",
    "stepwise_attention_io",
    "stored_weights",
    "tiled_attention_io",
    "token_elements",
    "tokens_in_all",
    "visible_pairs",
    "weight_bytes",
    "weights_read",
]
