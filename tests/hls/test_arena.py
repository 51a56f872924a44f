import numpy as np
import pytest

from moesaic.hls.compiler.arena import Arena, Ring, Span
from moesaic.hls.compiler.does_not_fit import DoesNotFit


def disjoint(spans: list[Span]) -> bool:
    return not any(a.overlaps(b) for i, a in enumerate(spans) for b in spans[:i])


@pytest.mark.parametrize("seed", range(5), ids=lambda s: f"seed{s}")
def test_live_buffers_never_overlap_and_freed_space_is_used_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arena, live, most = Arena("act", 0, 4096, 16), [], 0
    for _ in range(400):
        size = int(rng.integers(1, 700))
        if live and (rng.random() < 0.45 or arena.largest_gap() < size + 16):
            arena.free(live.pop(rng.integers(len(live))))
            continue
        span = arena.allocate("a buffer", size)
        live.append(span)
        assert span.start % 16 == 0 and size <= span.size < size + 16 and span.end <= 4096
        assert disjoint(live)
        most = max(most, sum(span.size for span in live))
    assert arena.peak == most
    for span in live:
        arena.free(span)
    assert arena.allocate("everything", arena.largest_gap()).size == 4096


def test_a_buffer_that_does_not_fit_is_refused_with_both_numbers() -> None:
    arena = Arena("act", 0, 1024, 16)
    arena.allocate("the first half", 512)
    with pytest.raises(DoesNotFit, match=r"the second half needs 528 bytes of act memory, 512 of 1024 are"):
        arena.allocate("the second half", 513)
    arena.allocate("exactly the rest", 512)


@pytest.mark.parametrize("seed", range(5), ids=lambda s: f"seed{s}")
def test_ring_blocks_are_whole_and_disjoint_while_they_live(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ring, live, refused = Ring(Span("weight", 256, 2304)), [], 0
    for _ in range(500):
        block = ring.try_allocate(int(rng.integers(1, 20)) * 32)
        if block is None:
            refused += 1
            ring.free(live.pop(0))
            continue
        live.append(block)
        assert block.start >= 256 and block.end <= 2304 and disjoint(live)
    assert refused > 50
    for block in live:
        ring.free(block)
    assert ring.try_allocate(2048) == Span("weight", 256, 2304)
    assert ring.try_allocate(32) is None


def test_an_empty_ring_refuses_only_what_is_larger_than_itself() -> None:
    ring = Ring(Span("weight", 0, 1024))
    ring.free(ring.try_allocate(640))
    assert ring.try_allocate(1025) is None
    assert ring.try_allocate(1024) == Span("weight", 0, 1024)


def test_a_block_that_cannot_wait_goes_behind_one_that_lives_long() -> None:
    ring = Ring(Span("weight", 0, 1024))
    first = ring.try_allocate(320)
    long_lived = ring.try_allocate(64)
    assert first == Span("weight", 0, 320) and long_lived == Span("weight", 320, 384)
    ring.free(first)
    ring.free(ring.try_allocate(640))
    assert ring.try_allocate(320) == first
    assert ring.try_allocate(320) is None
    assert ring.try_allocate(640, anywhere=True) == Span("weight", 384, 1024)
    assert ring.try_allocate(1, anywhere=True) is None
