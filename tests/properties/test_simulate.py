"""Whatever the queue: nothing is lost, nothing is held twice, memory is never exceeded."""

from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.simulate import paging, pools
from course_lib.simulate.prefix import share_prefix
from course_lib.simulate.serving import POLICIES, Engine, simulate
from course_lib.simulate.workload import Request

LONGEST = 24
lengths = st.tuples(st.integers(1, 12), st.integers(1, 13))
arrivals = st.floats(0, 20, allow_nan=False)
queues = st.lists(
    st.builds(lambda n, at: Request(prompt=n[0], output=n[1], arrival_s=at), lengths, arrivals),
    min_size=1,
    max_size=14,
)
memories = st.integers(LONGEST, 4 * LONGEST)
reserves = st.sampled_from([paging.reserve_longest(LONGEST), paging.reserve_exact])
policies = st.sampled_from(POLICIES)


def engine(memory, max_batch, reserve=paging.reserve_exact):
    return Engine(
        prefill_s=lambda n: 0.1 * n,
        step_s=lambda batch, context: 0.5 + 0.01 * context,
        cache_bytes=lambda n: n,
        memory_bytes=memory,
        max_batch=max_batch,
        reserve=reserve,
    )


@settings(max_examples=60, deadline=None)
@given(queues, memories, st.integers(1, 5), reserves, policies)
def test_every_request_is_answered_once_and_in_order_of_its_events(queue, memory, max_batch, reserve, policy):
    report = simulate(queue, engine(memory, max_batch, reserve), policy=policy)
    assert sorted(map(repr, queue)) == sorted(repr(o.request) for o in report.outcomes)
    for o in report.outcomes:
        assert o.request.arrival_s <= o.start_s < o.first_token_s <= o.finish_s <= report.end_s


@settings(max_examples=60, deadline=None)
@given(queues, memories, st.integers(1, 5), reserves, policies)
def test_memory_is_never_exceeded_never_negative_and_empty_at_the_end(
    queue, memory, max_batch, reserve, policy
):
    report = simulate(queue, engine(memory, max_batch, reserve), policy=policy)
    times, held = zip(*report.memory, strict=True)
    assert list(times) == sorted(times)
    assert min(held) >= 0 and max(held) <= memory and held[0] == held[-1] == 0
    assert 0 < report.mean_bytes <= report.peak_bytes * (1 + 1e-12)


@settings(max_examples=60, deadline=None)
@given(queues, memories, st.integers(1, 5), policies)
def test_the_machine_works_once_for_each_token(queue, memory, max_batch, policy):
    report = simulate(queue, engine(memory, max_batch), policy=policy)
    assert report.useful_steps == sum(r.output - 1 for r in queue) <= report.slot_steps
    assert policy != "continuous" or report.slot_steps == report.useful_steps
    assert report.busy_s <= report.end_s * (1 + 1e-12)


@settings(max_examples=40, deadline=None)
@given(queues, memories)
def test_with_one_place_the_schedulers_are_one(queue, memory):
    static, packed, continuous = (simulate(queue, engine(memory, 1), policy=policy) for policy in POLICIES)
    assert static.outcomes == packed.outcomes == continuous.outcomes


@settings(max_examples=40, deadline=None)
@given(lengths, st.lists(arrivals, min_size=1, max_size=14), memories, st.integers(1, 5), reserves)
def test_with_equal_lengths_there_is_nothing_to_pad(length, times, memory, max_batch, reserve):
    queue = [Request(prompt=length[0], output=length[1], arrival_s=at) for at in times]
    machine = engine(memory, max_batch, reserve)
    assert simulate(queue, machine, policy="static") == simulate(queue, machine, policy="static-packed")


# Memory is ample, so that both take the same batches. Where it is not, the packed server takes fuller ones,
# and a long answer that joins short ones can cost it a batch more: tests/unit/test_serving.py has one.
@settings(max_examples=60, deadline=None)
@given(st.lists(lengths, min_size=1, max_size=14), st.integers(1, 5))
def test_packed_never_serves_a_backlog_slower_than_padded(sizes, max_batch):
    queue = [Request(prompt=n, output=k) for n, k in sizes]
    machine = engine(max_batch * LONGEST, max_batch)
    padded, packed = (simulate(queue, machine, policy=p) for p in ("static", "static-packed"))
    for a, b in zip(padded.outcomes, packed.outcomes, strict=True):
        assert a.request == b.request and b.finish_s <= a.finish_s * (1 + 1e-12)
    assert packed.peak_bytes <= padded.peak_bytes and packed.slot_steps == padded.slot_steps


@settings(max_examples=60, deadline=None)
@given(queues, st.integers(1, 9))
def test_slots_of_a_life_add_up(queue, block):
    steps = sum(r.output for r in queue)
    used = sum(r.prompt + k for r in queue for k in range(r.output))
    paged = paging.paged_slots(queue, block)
    assert paged.used == used and paged.used + paged.reserved + paged.internal <= used + steps * (block - 1)
    whole = paging.contiguous_slots(queue, paging.reserve_longest(LONGEST))
    assert whole.used == used and whole.used + whole.reserved + whole.internal == steps * LONGEST
    assert min(paged.reserved, paged.internal, whole.reserved, whole.internal) >= 0


@settings(max_examples=60, deadline=None)
@given(queues, memories, st.integers(1, 6), reserves)
def test_a_pool_loses_no_slot_and_no_token(queue, memory, block, reserve):
    for pool in (pools.PagedPool(memory, block), pools.ContiguousPool(memory, reserve)):
        if pool.capacity < LONGEST:
            continue
        found = pools.run_stream(queue, pool)
        kinds = found.slots
        parts = (kinds.used, kinds.reserved, kinds.internal, kinds.external, kinds.idle)
        assert min(parts) >= 0 and sum(parts) == found.steps * pool.capacity
        assert kinds.used == sum(r.prompt + k for r in queue for k in range(r.output))


@settings(max_examples=60, deadline=None)
@given(queues, memories, reserves)
def test_stretches_never_overlap(queue, memory, reserve):
    pool = pools.ContiguousPool(memory, reserve)
    for key, request in enumerate(queue):
        pool.allocate(key, request, request.prompt)
        if key % 3 == 2 and key - 1 in pool.stretches:
            pool.free(key - 1)
        edges = [edge for stretch in sorted(pool.stretches.values()) for edge in stretch]
        assert edges == sorted(edges) and all(0 <= edge <= memory for edge in edges)


@settings(max_examples=60, deadline=None)
@given(queues)
def test_ample_memory_gives_the_slots_of_the_lives(queue):
    ample = sum(r.final for r in queue) + 16 * len(queue)
    found = pools.run_stream(queue, pools.PagedPool(ample, 4))
    alone = paging.paged_slots(queue, 4)
    assert (found.slots.used, found.slots.reserved, found.slots.internal) == (
        alone.used,
        alone.reserved,
        alone.internal,
    )
    assert found.steps == max(r.output for r in queue) and found.preempted == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 9))
def test_sharing_counts_each_shared_token_once(prefix, own, block):
    found = share_prefix(prefix, own, block=block, prefill_flops=lambda n: n * (n + 1) / 2)
    shared = found.shared_tokens
    assert 0 <= prefix - shared < block and shared % block == 0
    direct = sum(shared < t or i == 0 for i, m in enumerate(own) for t in range(1, prefix + m + 1))
    tails = sum(t for i, m in enumerate(own) for t in range(1, prefix + m + 1) if t > shared or i == 0)
    assert found.flops_shared == tails
    padding = sum(paging.round_up(prefix + m, block) - prefix - m for m in own)
    assert found.slots_shared == direct + padding
