"""Streams of the newest frames: whoever is slow, what comes out is what the source delivered last, and the rest is counted."""

import itertools
import threading
import time

import numpy as np
import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.host.frame_stream import _NEWEST_AHEAD, _UNSEEN_MOST
from moesaic.spec.machine import ReferenceMachine

LONG = 600.0
NAMES = ("depth", "segmentation")


class Camera:
    """A live source: delivers frames whether anyone is ready or not, but only so many as it is told to."""

    def __init__(self, build) -> None:
        self._shape = (build.image_height, build.image_width, 3)
        self._changed = threading.Condition()
        self._told = self.delivered = 0
        self._over = False

    def picture(self, index: int) -> np.ndarray:
        return np.random.default_rng(index).integers(0, 256, self._shape).astype(np.uint8)

    def deliver(self, frames: int) -> None:
        """Have it deliver more frames, and wait until they were drawn."""
        with self._changed:
            self._told += frames
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self.delivered == self._told and self._asked, LONG)

    def end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def __iter__(self):
        while True:
            with self._changed:
                self._asked = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._over or self.delivered < self._told)
                if self.delivered == self._told:
                    return
                self._asked = False
                self.delivered += 1
            yield self.picture(self.delivered - 1)

    _asked = False


@pytest.fixture
def camera(build):
    return Camera(build)


@pytest.fixture(params=["emulator", "board"])
def accelerator(request, board_build, board):
    with moesaic.open(board_build, request.param) as accelerator:
        yield accelerator
    assert board.buffers == [] and not board.busy


@pytest.fixture
def expected(saved_build, camera):
    with moesaic.open(saved_build, "reference") as reference:
        yield lambda result: reference.run(camera.picture(result.index), result.task).raw


def wait_until(accelerator, condition) -> None:
    (stream,) = accelerator._session.streams
    for _ in range(int(LONG / 0.01)):
        with stream._changed:
            if condition(stream):
                return
        time.sleep(0.01)
    raise AssertionError("it does not happen")


def settle(accelerator, camera) -> None:
    """Wait until the stream has computed the newest frame, or waits for its consumer."""

    def settled(stream) -> bool:
        newest = stream._groups[-1] if stream._groups else None
        computed = newest is not None and newest.done and newest.index == camera.delivered - 1
        return stream._room == _NEWEST_AHEAD and (computed or stream._unseen >= _UNSEEN_MOST)

    wait_until(accelerator, settled)


@pytest.mark.parametrize("tasks", ["depth", (NAMES,)], ids=["one task", "two tasks"])
def test_a_slow_consumer_gets_the_newest_frame(accelerator, camera, expected, tasks):
    """The source delivers bursts of any length while the consumer is busy. What comes next is never older than the last one."""
    bursts = (1, 30, 1, 2, 100, 7, 3)
    stream = accelerator.stream(camera, tasks, newest=True)
    shown, last = [], -1
    beginning = threading.Thread(target=lambda: shown.append(next(stream)))
    beginning.start()
    for number, burst in enumerate(bursts):
        camera.deliver(burst)
        if number == 0:
            beginning.join(LONG)
            result = shown[0]
        else:
            settle(accelerator, camera)
            result = next(stream)
        for place, name in enumerate(NAMES[: 1 if tasks == "depth" else 2]):
            if place:
                result = next(stream)
            assert camera.delivered - 1 - result.index == 0, "it is stale"
            assert (result.task, result.dropped) == (name, result.index - last - 1)
            assert np.array_equal(result.raw, expected(result))
            assert np.array_equal(result.image, camera.picture(result.index))
        last = result.index
    camera.end()
    assert list(stream) == []


def test_a_slow_machine_gets_the_newest_frame(saved_build, build, camera):
    """While it computes a frame and another waits for it, all that comes is dropped but the newest."""

    class Slow(ReferenceMachine):
        begun, go = threading.Semaphore(0), threading.Semaphore(0)

        def run(self, program, memory, max_cycles):
            self.begun.release()
            assert self.go.acquire(timeout=LONG)
            return super().run(program, memory, max_cycles)

    machine = Slow(build.configuration)
    with moesaic.open(saved_build, machine) as accelerator:
        results: list = []
        consumer = threading.Thread(target=lambda: results.extend(accelerator.stream(camera, "depth", newest=True)))
        consumer.start()
        camera.deliver(1)
        assert machine.begun.acquire(timeout=LONG)
        camera.deliver(1)
        # The second one waits behind the first.
        wait_until(accelerator, lambda stream: stream._room == 0 and stream._drawn is None)
        for _ in range(3):
            camera.deliver(20)
            machine.go.release()
            assert machine.begun.acquire(timeout=LONG)
        machine.go.release(9)
        camera.end()
        consumer.join(LONG)
    assert results[0].index == 0 and results[-1].index == camera.delivered - 1 == 61
    assert sum(result.dropped for result in results) == 62 - len(results)
    assert len(results) <= 5
    for earlier, later in itertools.pairwise(results):
        assert later.dropped == later.index - earlier.index - 1


def test_a_consumer_that_went_away_does_not_keep_the_machine_busy(accelerator, camera):
    """A notebook's loop after Ctrl-C: a few frames in vain, then nothing, and others run as ever."""
    stream = accelerator.stream(camera, "depth", newest=True)
    camera_works = threading.Thread(target=camera.deliver, args=(1,))
    camera_works.start()
    assert next(stream).index == 0
    camera_works.join(LONG)
    computed = []
    compute = accelerator._phases.compute
    accelerator._phases.compute = lambda frame: computed.append(frame) or compute(frame)
    for _ in range(4 * _UNSEEN_MOST):
        camera.deliver(1)
        settle(accelerator, camera)
    assert len(computed) <= _UNSEEN_MOST + _NEWEST_AHEAD
    accelerator.run(camera.picture(0), "depth")
    assert next(stream).index == camera.delivered - 1, "it comes back to a fresh frame"
    camera.end()
    stream.close()


def test_all_frames_of_a_source_that_waits_for_nobody_are_accounted_for(accelerator, camera):
    frames = [camera.picture(index) for index in range(50)]
    results = []
    for result in accelerator.stream(frames, "depth", newest=True):
        results.append(result)
        time.sleep(0.001)
    assert results[-1].index == 49
    assert sum(result.dropped for result in results) + len(results) == 50
    assert [r.dropped for r in accelerator.stream(frames[:4], "depth")] == [0] * 4


@pytest.mark.parametrize("kind", ["frame", "source", "task"])
def test_errors_are_not_dropped(accelerator, camera, kind):
    """Even if nobody looks until the source has ended."""

    def source():
        yield camera.picture(0)
        if kind == "source":
            raise OSError("camera unplugged")
        yield np.zeros((8, 8), np.uint8) if kind == "frame" else camera.picture(1)

    def tasks(index: int) -> tuple[str, ...]:
        return ("depth", "pose") if index == 1 and kind == "task" else ("depth",)

    seen = []
    with pytest.raises(OSError if kind == "source" else UserError, match=r"unplugged|frame 1 is uint8|'pose'"):
        for result in accelerator.stream(source(), tasks, newest=True):
            seen.append(result.index)
    assert seen in ([], [0], [1], [0, 1])
    assert accelerator.run(camera.picture(3), "depth").index == 0


def test_leaving_the_loop_ends_it(accelerator, camera):
    stream = accelerator.stream(camera, "depth", newest=True)
    working = threading.Thread(target=camera.deliver, args=(2,))
    working.start()
    next(stream)
    working.join(LONG)
    camera.end()
    stream.close()
    assert not [t for t in threading.enumerate() if t.name in ("moesaic-feed", "moesaic-draw")]
