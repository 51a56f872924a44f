"""Streams: the results of single runs in order, whatever the executor, with every way a stream can end."""

import asyncio
import itertools
import threading
from pathlib import Path

import numpy as np
import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.host.frame_stream import FRAMES_AHEAD, choice_of
from moesaic.host.png import encode_png
from moesaic.spec.executor import MachineFault
from moesaic.spec.isa import Fault
from moesaic.spec.machine import ReferenceMachine

TASKS = ("depth", "segmentation", "normals")


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    """Of several sizes, so that each is cropped and resized in another way."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (30 + 7 * i, 50 + 3 * i, 3)).astype(np.uint8) for i in range(count)]


@pytest.fixture
def expected(saved_build):
    """Raw results of single runs on the reference machine, by (frame, task)."""
    known = {}

    def result(image: np.ndarray, index: int, task: str) -> np.ndarray:
        if (index, task) not in known:
            with moesaic.open(saved_build, "reference") as accelerator:
                known[index, task] = accelerator.run(image, task).raw
        return known[index, task]

    return result


@pytest.fixture(params=["emulator", "board"])
def accelerator(request, board_build, board):
    with moesaic.open(board_build, request.param) as accelerator:
        yield accelerator
    assert board.buffers == [] and not board.busy
    assert no_threads()


def no_threads(but: tuple[str, ...] = ()) -> bool:
    return not [t for t in threading.enumerate() if t.name.startswith("moesaic-") and t.name not in but]


def no_stream() -> bool:
    """Whether no stream has a thread; those of the machine live as long as the build is open."""
    return no_threads(but=("moesaic-upload", "moesaic-compute", "moesaic-finish"))


def check_next_run(accelerator, expected) -> None:
    image = pictures(1, seed=5)[0]
    assert np.array_equal(accelerator.run(image, "depth").raw, expected(image, -1, "depth"))


def test_alternating_tasks_give_the_integers_of_single_runs(accelerator, expected):
    frames = pictures(7)
    results = list(accelerator.stream(iter(frames), TASKS))
    assert [result.index for result in results] == list(range(7))
    assert [result.task for result in results] == [TASKS[index % 3] for index in range(7)]
    for result in results:
        assert np.array_equal(result.raw, expected(frames[result.index], result.index, result.task))
        assert set(result.seconds) == {"prepare", "upload", "compute", "download", "decode"}


def test_one_task_for_all_frames_and_several_for_one(accelerator, expected):
    frames = pictures(3)
    assert [r.task for r in accelerator.stream(frames, "normals")] == ["normals"] * 3
    results = list(accelerator.stream(frames, lambda index: TASKS[: index + 1]))
    assert [(r.index, r.task) for r in results] == [
        (0, "depth"), (1, "depth"), (1, "segmentation"), (2, "depth"), (2, "segmentation"), (2, "normals"),
    ]  # fmt: skip
    for result in results:
        assert np.array_equal(result.raw, expected(frames[result.index], result.index, result.task))


def test_pathways_change_from_frame_to_frame(accelerator, saved_build):
    frames = pictures(4)
    results = list(accelerator.stream(frames, ["normals", ("normals@1x1", "depth")]))
    assert [(r.index, r.task, r.pathway) for r in results] == [
        (0, "normals", None), (1, "normals", "1x1"), (1, "depth", None),
        (2, "normals", None), (3, "normals", "1x1"), (3, "depth", None),
    ]  # fmt: skip
    with moesaic.open(saved_build, "reference") as reference:
        for result in results:
            alone = reference.run(frames[result.index], result.task, result.pathway)
            assert np.array_equal(result.raw, alone.raw)
            assert alone.pathway == result.pathway
        assert not np.array_equal(
            reference.run(frames[1], "normals").raw, reference.run(frames[1], "normals", "1x1").raw
        )


def test_frames_may_be_files(accelerator, tmp_path, expected):
    frames = pictures(2)
    paths = [tmp_path / f"{index}.png" for index in range(2)]
    for path, frame in zip(paths, frames, strict=True):
        path.write_bytes(encode_png(frame))
    for result in accelerator.stream([paths[0], str(paths[1])], "depth"):
        assert np.array_equal(result.raw, expected(frames[result.index], result.index, "depth"))


def test_no_frames(accelerator, expected):
    assert list(accelerator.stream([], "depth")) == []
    check_next_run(accelerator, expected)


def test_leaving_the_loop_ends_an_endless_stream(accelerator, expected):
    for result in accelerator.stream(itertools.cycle(pictures(2)), TASKS):
        if result.index == 4:
            break
    assert no_stream(), "the stream goes on after its loop was left"
    del result
    check_next_run(accelerator, expected)


def test_a_stream_left_open_does_not_obstruct_the_next_run_and_goes_on_after_it(accelerator, expected):
    """As a notebook leaves one after Ctrl-C, whose traceback keeps it alive: its frames fill up, but none stays in the machine."""
    frames = pictures(3)
    stream = accelerator.stream(itertools.cycle(frames), TASKS)
    next(stream)
    for _ in range(2 * FRAMES_AHEAD):
        check_next_run(accelerator, expected)
    accelerator.run_whole(frames[0], "depth")
    other = accelerator.stream(frames, "normals")
    for index in range(1, 3 * FRAMES_AHEAD):
        result = next(stream)
        assert (result.index, result.task) == (index, TASKS[index % 3])
        assert np.array_equal(result.raw, expected(frames[index % 3], index % 3, result.task))
        if index == 2:
            assert [r.index for r in other] == [0, 1, 2]


def test_runs_in_the_body_of_a_loop(accelerator, expected):
    frames = pictures(3)
    for result in accelerator.stream(frames, "depth"):
        for task in TASKS:
            again = accelerator.run(frames[result.index], task)
            assert np.array_equal(again.raw, expected(frames[result.index], result.index, task))
        assert np.array_equal(result.raw, expected(frames[result.index], result.index, "depth"))


def test_closing_ends_a_stream(board_build, board):
    accelerator = moesaic.open(board_build, "board")
    stream = accelerator.stream(itertools.cycle(pictures(2)), TASKS)
    next(stream)
    accelerator.close()
    assert board.buffers == [] and no_threads()
    with pytest.raises(UserError, match=r"the stream of build .* was ended by close"):
        next(stream)
    with pytest.raises(UserError, match="was closed"):
        accelerator.stream([], "depth")


def unreadable(tmp_path: Path) -> Path:
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    return path


@pytest.mark.parametrize("kind", ["file", "array", "source", "task"])
def test_error_of_a_frame_comes_in_its_place(accelerator, expected, tmp_path, kind):
    """The frames before it are delivered, the source is not asked for more than a few, the next run is right."""
    frames = pictures(5)
    tasks = "depth"
    if kind == "file":
        frames[2], message = unreadable(tmp_path), "broken.png"
    elif kind == "array":
        frames[2], message = np.zeros((8, 8), np.uint8), "frame 2 is uint8"
    elif kind == "task":
        tasks, message = (lambda index: "pose" if index == 2 else "depth"), "unknown task 'pose'"
    else:
        message = "camera unplugged"

    def source():
        for index, frame in enumerate(frames):
            if kind == "source" and index == 2:
                raise OSError(message)
            yield frame

    delivered = []
    with pytest.raises(OSError if kind == "source" else UserError, match=message):
        for result in accelerator.stream(source(), tasks):
            delivered.append(result.index)
    assert delivered == [0, 1]
    check_next_run(accelerator, expected)


def test_fault_of_the_machine_ends_the_stream(board_build, board, expected):
    """An AXI error, as the registers show it, in the middle of a stream."""
    with moesaic.open(board_build, "board") as accelerator:
        stream = accelerator.stream(itertools.cycle(pictures(2)), TASKS)
        next(stream)
        board.fault = MachineFault(Fault.AXI_READ, "load", 1)
        with pytest.raises(MachineFault, match=r"AXI_READ in the load unit.*tag 1"):
            list(stream)
        check_next_run(accelerator, expected)
    assert board.buffers == []


def test_machine_that_hangs_in_a_stream(board_build, board, expected, monkeypatch):
    monkeypatch.setattr(
        "moesaic.host.board.BoardExecutor.__init__.__kwdefaults__", {"timeout_seconds": 0.05, "lock_file": None}
    )
    with moesaic.open(board_build, "board") as accelerator:
        stream = accelerator.stream(itertools.cycle(pictures(2)), TASKS)
        next(stream)
        board.hangs = True
        with pytest.raises(MachineFault, match="TIMEOUT"):
            list(stream)
        assert board.downloads == 2
        check_next_run(accelerator, expected)
    assert board.buffers == []


def test_control_c_in_the_middle(accelerator, expected):
    with pytest.raises(KeyboardInterrupt):
        for result in accelerator.stream(itertools.cycle(pictures(2)), TASKS):
            if result.index == 3:
                raise KeyboardInterrupt
    check_next_run(accelerator, expected)


def test_source_that_blocks_does_not_block_the_end(saved_build, monkeypatch):
    """A camera that delivers nothing more: the stream can be left all the same."""
    monkeypatch.setattr("moesaic.host.frame_stream._STOP_SECONDS", 0.05)
    release = threading.Event()

    def source():
        yield pictures(1)[0]
        release.wait()

    with moesaic.open(saved_build, "emulator") as accelerator:
        stream = accelerator.stream(source(), "depth")
        assert next(stream).index == 0
        stream.close()
    release.set()


@pytest.mark.parametrize(
    ("tasks", "message"),
    [("pose", "unknown task 'pose'"), (["depth", "pose"], "unknown task 'pose'"), ([], "0 tasks"), ("depth@x", "'x'")],
    ids=["name", "sequence", "none", "pathway"],
)
def test_wrong_tasks_are_refused_before_the_first_frame(accelerator, tasks, message):
    with pytest.raises(UserError, match=message):
        accelerator.stream([], tasks)


def test_choice_of():
    assert choice_of("depth", 5) == ("depth",)
    assert [choice_of(["a", ("b", "c")], index) for index in range(3)] == [("a",), ("b", "c"), ("a",)]
    assert choice_of(lambda index: ["a"] * index, 2) == ("a", "a")


class Staged(ReferenceMachine):
    """A machine of several stages, as a board is, that notes what was begun and can be held at the first frame in one of them."""

    def __init__(self, configuration, held: str) -> None:
        super().__init__(configuration)
        self.held, self.go = held, threading.Event()
        self.noted: list[str] = []
        self.changed = threading.Condition()

    def note(self, stage: str) -> None:
        with self.changed:
            self.noted.append(stage)
            self.changed.notify_all()
            first = self.noted.count(stage) == 1
        if first and stage == self.held:
            assert self.go.wait(60)

    def begun(self, stage: str, times: int) -> bool:
        """Whether it begins so often, in the time that a slow machine may take."""
        with self.changed:
            return self.changed.wait_for(lambda: self.noted.count(stage) >= times, 20)

    def upload(self, memory, part) -> None:
        self.note("upload")

    def compute(self, program, memory, max_cycles):
        self.note("compute")
        return self.run(program, memory, max_cycles)

    def download(self, memory, part) -> None:
        self.note("download")

    def limit(self, deadline: float) -> None:
        """Its runs are short."""


@pytest.mark.parametrize(
    ("held", "meanwhile"),
    [
        ("compute", {"prepare": 3, "upload": 2}),
        ("download", {"prepare": 3, "upload": 2, "compute": 2}),
        ("decode", {"prepare": 4, "upload": 3, "compute": 2}),
    ],
    ids=["compute", "download", "decode"],
)
def test_neighbouring_frames_overlap(saved_build, build, monkeypatch, held, meanwhile):
    """While the first frame is held in a stage, those behind it take every stage that is not taken, and no other."""
    machine = Staged(build.configuration, held)
    decode = moesaic.host.phases.decode
    monkeypatch.setattr("moesaic.host.phases.decode", lambda *words: machine.note("decode") or decode(*words))

    def source():
        for frame in pictures(4):
            machine.note("prepare")
            yield frame

    with moesaic.open(saved_build, machine) as accelerator:
        stream = accelerator.stream(source(), "depth")
        results: list = []
        consumer = threading.Thread(target=lambda: results.extend(stream))
        consumer.start()
        for stage, times in {held: 1, **meanwhile}.items():
            assert machine.begun(stage, times), f"{stage} of a later frame waits for {held} of the first"
        assert results == [] and machine.noted.count(held) == 1
        machine.go.set()
        consumer.join()
        assert [result.index for result in results] == [0, 1, 2, 3]
        with moesaic.open(saved_build, "reference") as reference:
            for result, frame in zip(results, pictures(4), strict=True):
                assert np.array_equal(result.raw, reference.run(frame, "depth").raw)


@pytest.mark.parametrize("size", ["network's", "larger"])
def test_a_source_that_fills_one_array_again_and_again(saved_build, build, size):
    """As cameras do: each result keeps the picture that it was computed from."""
    rng = np.random.default_rng(3)
    height, width = (build.image_height, build.image_width) if size == "network's" else (40, 56)
    frames = [rng.integers(0, 256, (height, width, 3)).astype(np.uint8) for _ in range(4)]
    buffer = np.empty((height, width, 3), np.uint8)

    def source():
        for frame in frames:
            buffer[:] = frame
            yield buffer
        buffer[:] = 0

    with moesaic.open(saved_build, "emulator") as accelerator:
        results = list(accelerator.stream(source(), "depth"))
        for result, frame in zip(results, frames, strict=True):
            alone = accelerator.run(frame, "depth")
            assert np.array_equal(result.raw, alone.raw)
            assert np.array_equal(result.image, alone.image)
            assert not np.may_share_memory(alone.image, frame)


def test_interrupts_are_used_in_a_stream_of_a_notebook(board_build, board, expected):
    """Its cells run in an event loop, the machine's thread does not."""
    board.interrupts = True
    frames = pictures(4)

    async def cell() -> list:
        with moesaic.open(board_build, "board") as accelerator:
            return list(accelerator.stream(frames, "depth"))

    for result in asyncio.run(cell()):
        assert np.array_equal(result.raw, expected(frames[result.index], result.index, "depth"))
    assert board.waits == len(frames)


def test_memory_is_allocated_once(board_build, board):
    with moesaic.open(board_build, "board") as accelerator:
        accelerator.run(pictures(1)[0], "depth")
        for _ in range(3):
            list(accelerator.stream(pictures(5), TASKS))
        accelerator.run(pictures(1)[0], "depth")
        assert len(board.flushed) == 3  # constants and two frame windows
        constants = max(board.flushed, key=lambda buffer: buffer.size)
        assert constants.flushes == 1


def test_whole_memory_is_compared_after_streams(board_build, board, image):
    """Windows that other frames used, and a pattern everywhere else: the whole image is that of the reference machine."""
    with moesaic.open(board_build, "board") as accelerator, moesaic.open(board_build, "reference") as reference:
        list(accelerator.stream(pictures(3), TASKS))
        for task in TASKS:
            found, counters = accelerator.run_whole(image, task)
            wanted, expected_counters = reference.run_whole(image, task)
            assert np.array_equal(found, wanted)
            assert {name: counters[name] for name in expected_counters} == expected_counters
        assert [r.index for r in accelerator.stream(pictures(3), TASKS)] == [0, 1, 2]
