"""No number moves by more than the error bound, whatever the numbers."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.layers.caches.quantised import Quantiser

# Magnitudes at which neither the step nor the low leaves the normal range of float16.
MAGNITUDES = st.floats(0.25, 100.0)
NUMBERS = st.one_of(st.just(0.0), MAGNITUDES, MAGNITUDES.map(lambda x: -x))


@settings(max_examples=300, deadline=None)
@given(
    numbers=st.lists(NUMBERS, min_size=1, max_size=9),
    bits=st.sampled_from([4, 8]),
    symmetric=st.booleans(),
    scale_dtype=st.sampled_from([torch.float64, torch.float32, torch.float16]),
)
def test_error_is_at_most_half_a_step(numbers, bits, symmetric, scale_dtype):
    quantiser = Quantiser(bits, symmetric, scale_dtype)
    x = torch.tensor(numbers, dtype=torch.float64)
    codes, scales = quantiser.encode(x)
    decoded = quantiser.decode(codes, scales, len(numbers), dtype=torch.float64)
    bound = quantiser.error_bound(scales.double())
    assert codes.dtype == torch.uint8 and codes.shape == (quantiser.packed_width(len(numbers)),)
    assert ((decoded - x).abs() <= bound * (1 + 1e-9)).all()
    if symmetric:
        assert bound.item() == scales.double().item() / 2
