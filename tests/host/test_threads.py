"""One accelerator, many users: threads, event loops, streams, futures. Every byte is the reference's, and nobody is forgotten."""

import asyncio
import itertools
import json
import os
import signal
import threading
import urllib.request
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.host.board import BoardExecutor
from moesaic.host.frame_stream import FRAMES_AHEAD
from moesaic.host.png import encode_png
from moesaic.host.result import FrameFault
from moesaic.sim.machines.csim import CsimExecutor
from moesaic.spec.executor import MachineFault
from moesaic.spec.isa import Fault
from moesaic.spec.machine import ReferenceMachine

NAMES = ("depth", "segmentation", "normals", "normals@1x1")
LONG = 600.0
"""Seconds that nothing here takes, however busy the machine is."""


def pictures(count: int, seed: int = 21) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (31 + 5 * i, 60 - 4 * i, 3)).astype(np.uint8) for i in range(count)]


PICTURES = pictures(5)


@pytest.fixture(scope="module")
def expected(saved_build):
    """What the reference machine gives, by (picture, name): the raw result and the whole window."""
    with moesaic.open(saved_build, "reference") as reference:
        return {
            (index, name): (reference.run(picture, name).raw, reference.run_whole(picture, name)[0])
            for index, picture in enumerate(PICTURES)
            for name in NAMES
        }


@pytest.fixture(params=["emulator", "board"])
def accelerator(request, board_build, board, build):
    board.machine = CsimExecutor(build.configuration)  # faster than the reference machine
    with moesaic.open(board_build, request.param) as accelerator:
        yield accelerator
    board.machine.close()
    assert board.buffers == [] and not board.busy
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("moesaic-")]


def together(*works) -> None:
    """Do all of it at once, each in a thread of its own; raises the first error."""
    start = threading.Barrier(len(works))

    def work(number: int) -> None:
        start.wait(LONG)
        works[number]()

    with ThreadPoolExecutor(len(works)) as threads:
        for done in [threads.submit(work, number) for number in range(len(works))]:
            done.result(LONG)


def test_many_threads_tasks_pathways_and_streams(accelerator, expected):
    """Runs, whole windows, futures and streams, of which one drops frames, all at once and in different orders."""
    compared = []

    def check(index: int, name: str, found: np.ndarray, whole: bool = False) -> None:
        assert np.array_equal(found, expected[index, name][whole]), f"{name} of picture {index}"
        compared.append(name)

    def runs(seed: int) -> None:
        for index, number in np.random.default_rng(seed).integers(0, (5, 4), (12, 2)):
            task, _, pathway = NAMES[number].partition("@")
            check(index, NAMES[number], accelerator.run(PICTURES[index], task, pathway or None).raw)

    def wholes() -> None:
        for index, name in itertools.product(range(3), NAMES):
            check(index, name, accelerator.run_whole(PICTURES[index], name)[0], whole=True)

    def futures() -> None:
        wanted = [(index, name) for index in range(5) for name in NAMES]
        handed_in = [accelerator.submit(PICTURES[index], name) for index, name in wanted]
        for (index, name), future in zip(wanted, handed_in, strict=True):
            check(index, name, future.result(LONG).raw)

    def stream(newest: bool) -> None:
        for result in accelerator.stream([PICTURES[i % 5] for i in range(12)], [NAMES[:2], NAMES[3]], newest=newest):
            name = result.task if result.pathway is None else f"{result.task}@{result.pathway}"
            check(result.index % 5, name, result.raw)

    together(
        *(lambda seed=seed: runs(seed) for seed in range(4)),
        wholes,
        futures,
        lambda: stream(False),
        lambda: stream(False),
        lambda: stream(True),
    )
    assert len(compared) >= 4 * 12 + 12 + 20 + 2 * 18 + 1


def test_results_keep_their_bytes_while_others_run(accelerator, expected):
    kept = [(index, name, accelerator.run(PICTURES[index], name)) for index in range(5) for name in NAMES]
    windows = [(index, accelerator.run_whole(PICTURES[index], "depth")[0]) for index in range(5)]
    for index, name, result in kept:
        assert np.array_equal(result.raw, expected[index, name][0])
    for index, window in windows:
        assert np.array_equal(window, expected[index, "depth"][1])


def test_threads_of_a_web_server(saved_build, expected):
    """A handler that simply calls run, as anyone would write it, and clients that ask for different things at once."""
    with moesaic.open(saved_build, "emulator") as accelerator:

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index, name = self.path.strip("/").split("/")
                content = accelerator.run(PICTURES[int(index)], name).raw.tobytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *words: object) -> None:
                """Not into the output of the tests."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()

        def client(seed: int) -> None:
            for index, number in np.random.default_rng(seed).integers(0, (5, 4), (15, 2)):
                address = f"http://127.0.0.1:{server.server_address[1]}/{index}/{NAMES[number]}"
                with urllib.request.urlopen(address, timeout=LONG) as answer:
                    assert answer.read() == expected[index, NAMES[number]][0].tobytes()

        try:
            together(*(lambda seed=seed: client(seed) for seed in range(4)))
        finally:
            server.shutdown()
            serving.join()
            server.server_close()


def test_asyncio(accelerator, expected):
    """Futures awaited side by side, a loop that stays alive meanwhile, and `run` called inside the loop."""
    wanted = [(index, name) for index in range(5) for name in NAMES]

    async def main() -> None:
        turns = 0

        async def tick() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        futures = [asyncio.wrap_future(accelerator.submit(PICTURES[index], name)) for index, name in wanted]
        for (index, name), result in zip(wanted, await asyncio.gather(*futures), strict=True):
            assert np.array_equal(result.raw, expected[index, name][0])
        assert turns > 1
        assert np.array_equal(accelerator.run(PICTURES[0], "depth").raw, expected[0, "depth"][0])
        with pytest.raises(UserError, match="unknown task 'pose'"):
            await asyncio.wrap_future(accelerator.submit(PICTURES[0], "pose"))
        ticking.cancel()

    for _ in range(2):  # each in an event loop of its own
        asyncio.run(main())


def test_a_board_waits_by_its_interrupt_in_any_thread_and_loop(board_build, board, expected):
    board.interrupts, board.polls = True, 1_000_000  # polling alone would run into the time limit

    def run() -> None:
        assert np.array_equal(accelerator.run(PICTURES[0], "depth").raw, expected[0, "depth"][0])

    async def cell() -> None:
        run()

    with moesaic.open(board_build, "board") as accelerator:
        together(run, run, lambda: asyncio.run(cell()))
        run()
    assert board.waits == 4


class Held(ReferenceMachine):
    """A machine that notes the runs it begins, by the first pixel of their image, and holds each until it is let go."""

    def __init__(self, build) -> None:
        super().__init__(build.configuration)
        self._offset = build.image_offset
        self.begun: list[int] = []
        self.changed = threading.Condition()
        self.allowed = 0
        self.fault: MachineFault | None = None

    def let_go(self, runs: int) -> None:
        with self.changed:
            self.allowed += runs
            self.changed.notify_all()

    def wait_begun(self, runs: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.begun) >= runs, LONG)

    def run(self, program, memory, max_cycles):
        with self.changed:
            self.begun.append(int(memory.frame[self._offset] ^ 0x80))
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: self.allowed >= len(self.begun), LONG)
        if self.fault is not None:
            raise self.fault
        return super().run(program, memory, max_cycles)


@pytest.fixture
def held(build):
    return Held(build)


@pytest.fixture
def plain(build):
    """Images of one colour, which tell them apart: Held notes it."""
    return lambda value: np.full((build.image_height, build.image_width, 3), value, np.uint8)


def test_what_is_submitted_is_run_in_that_order_and_images_may_change_meanwhile(saved_build, held, plain):
    with moesaic.open(saved_build, held) as accelerator:
        image, futures = plain(0), []
        for value in range(12):
            image[:] = value
            futures.append(accelerator.submit(image, NAMES[value % 4]))
        image[:] = 255
        held.let_go(12)
        for value, future in enumerate(futures):
            assert np.array_equal(future.result(LONG).image, plain(value))
        assert held.begun == list(range(12))


@pytest.mark.parametrize("form", ["array", "bytearray", "Pillow", "bgr", "tensor"])
def test_images_of_every_form_may_change_once_submitted(saved_build, held, plain, form):
    pixels = plain(1)
    if form == "bytearray":
        image = bytearray(encode_png(pixels))
        change = lambda: image.__setitem__(slice(8), bytes(8))  # noqa: E731
    elif form == "Pillow":
        image = pytest.importorskip("PIL.Image").fromarray(pixels)
        change = lambda: image.paste((9, 9, 9), (0, 0, *image.size))  # noqa: E731
    elif form == "tensor":
        image = pytest.importorskip("torch").from_numpy(pixels)
        change = lambda: image.fill_(9)  # noqa: E731
    else:
        image = moesaic.Image(pixels, channels="bgr") if form == "bgr" else pixels
        change = lambda: pixels.fill(9)  # noqa: E731
    with moesaic.open(saved_build, held) as accelerator:
        futures = [
            accelerator.submit(image, "depth") for _ in range(FRAMES_AHEAD + 2)
        ]  # the last ones are not prepared yet
        held.wait_begun(1)
        change()
        held.let_go(len(futures))
        assert all(np.array_equal(future.result(LONG).image, plain(1)) for future in futures)


def test_a_run_waits_for_few_frames_of_streams_and_submissions(saved_build, held, plain):
    with moesaic.open(saved_build, held) as accelerator:
        futures = [accelerator.submit(plain(1), "depth") for _ in range(40)]
        stream = accelerator.stream(itertools.repeat(plain(2)), "depth")
        streaming = threading.Thread(target=lambda: [next(stream) for _ in range(40)])
        streaming.start()
        held.wait_begun(1)
        running = threading.Thread(target=accelerator.run, args=(plain(3), "depth"))
        running.start()
        while running.is_alive():
            held.let_go(1)
            running.join(0.01)
        held.let_go(200)
        streaming.join(LONG)
        stream.close()
        assert all(future.result(LONG) for future in futures)
        # What began before the run was there, which the first wait does not say exactly, is at most as much again.
        assert held.begun.index(3) <= 4 * FRAMES_AHEAD


def test_cancel_withdraws_what_has_not_started(saved_build, held, plain):
    with moesaic.open(saved_build, held) as accelerator:
        futures = [accelerator.submit(plain(value), "depth") for value in range(20)]
        held.wait_begun(1)
        assert not futures[0].cancel(), "it is being computed"
        cancelled = [value for value in range(1, 20) if value % 3 and futures[value].cancel()]
        assert len(cancelled) >= 10
        held.let_go(20)
        for value, future in enumerate(futures):
            if value in cancelled:
                assert future.cancelled()
                with pytest.raises(CancelledError):
                    future.result(LONG)
            else:
                assert np.array_equal(future.result(LONG).image, plain(value))
        assert held.begun == [value for value in range(20) if value not in cancelled]


def test_cancelling_an_asyncio_task_withdraws_its_image(saved_build, held, plain):
    async def main() -> None:
        futures = [accelerator.submit(plain(value), "depth") for value in range(8)]
        waiting = asyncio.create_task(asyncio.wait_for(asyncio.wrap_future(futures[7]), 0.01))
        with pytest.raises(asyncio.TimeoutError):
            await waiting
        assert futures[7].cancelled()
        held.let_go(8)
        await asyncio.gather(*map(asyncio.wrap_future, futures[:7]))

    with moesaic.open(saved_build, held) as accelerator:
        asyncio.run(main())
        assert held.begun == list(range(7))


@pytest.mark.parametrize(
    ("image", "task", "pathway", "message"),
    [
        (PICTURES[0], "pose", None, "unknown task 'pose'"),
        (PICTURES[0], None, None, "a task is named by a text"),
        (PICTURES[0], "normals", 3, "a pathway is named by a text"),
        (PICTURES[0], "normals", "9x9", "unknown pathway '9x9'"),
        (PICTURES[0][..., 0], "depth", None, "the image is"),
        ("nowhere.png", "depth", None, "nowhere.png"),
    ],
    ids=["task", "no task", "no pathway", "pathway", "grey", "file"],
)
def test_errors_arrive_in_the_future(accelerator, expected, image, task, pathway, message):
    future = accelerator.submit(image, task, pathway)
    with pytest.raises(UserError, match=message):
        future.result(LONG)
    assert np.array_equal(accelerator.submit(PICTURES[0], "depth").result(LONG).raw, expected[0, "depth"][0])


def test_a_fault_is_of_its_own_frame_only(saved_build, held, plain):
    with moesaic.open(saved_build, held) as accelerator:
        first, second = (accelerator.submit(plain(value), "depth") for value in (1, 2))
        held.fault = MachineFault(Fault.AXI_READ, "load", 1)
        held.let_go(1)
        with pytest.raises(FrameFault, match=r"task depth.*AXI_READ in the load unit"):
            first.result(LONG)
        held.wait_begun(2)
        held.fault = None
        held.let_go(1)
        assert np.array_equal(second.result(LONG).image, plain(2))


def test_a_callback_may_submit_but_not_wait(accelerator, expected):
    outcomes = Future[list]()

    def follow(future: Future) -> None:
        try:
            accelerator.run(PICTURES[1], "depth")
        except UserError as error:
            outcomes.set_result([str(error), accelerator.submit(PICTURES[1], "depth")])

    accelerator.submit(PICTURES[0], "depth").add_done_callback(follow)
    message, future = outcomes.result(LONG)
    assert "call submit there" in message
    assert np.array_equal(future.result(LONG).raw, expected[1, "depth"][0])


def test_close_ends_everyone_who_waits_and_finishes_the_frame_in_the_machine(saved_build, held, plain):
    accelerator = moesaic.open(saved_build, held)
    ends: dict[str, object] = {}

    def note(name: str, work) -> None:
        try:
            ends[name] = work()
        except Exception as error:
            ends[name] = error

    threads = [threading.Thread(target=note, args=("computed", lambda: accelerator.run(plain(1), "depth")))]
    threads[0].start()
    held.wait_begun(1)
    streams = [accelerator.stream(itertools.repeat(plain(2)), "depth", newest=newest) for newest in (False, True)]
    works = {
        "run": lambda: accelerator.run(plain(3), "depth"),
        "whole": lambda: accelerator.run_whole(plain(3), "depth"),
        "stream": lambda: list(streams[0]),
        "newest stream": lambda: list(streams[1]),
    }
    threads += [threading.Thread(target=note, args=item) for item in works.items()]
    futures = [accelerator.submit(plain(4), "depth") for _ in range(30)]
    closing = [threading.Thread(target=accelerator.close) for _ in range(2)]
    for thread in [*threads[1:], *closing]:
        thread.start()
    held.let_go(1)
    for thread in [*threads, *closing]:
        thread.join(LONG)
        assert not thread.is_alive()
    assert np.array_equal(ends.pop("computed").image, plain(1))
    assert held.begun == [1]
    for name, end in ends.items():
        assert isinstance(end, UserError), (name, end)
        assert "was closed" in str(end) or "was ended by close" in str(end)
    assert set(ends) == set(works)
    for future in futures:
        with pytest.raises(UserError, match=r"was closed before the frame was done; open it again with moesaic\.open"):
            future.result(LONG)
    for call in (lambda: accelerator.run(plain(1), "depth"), lambda: accelerator.submit(plain(1), "depth")):
        with pytest.raises(UserError, match="was closed"):
            call()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("moesaic-")]


def hang(board, monkeypatch) -> None:
    """The next run never ends, and the driver would wait for it for a long time."""
    monkeypatch.setattr("moesaic.host.frame_pipeline._STOP_SECONDS", 0.05)
    board.hangs = True


@pytest.fixture
def patient_board(board, board_build, monkeypatch):
    monkeypatch.setitem(BoardExecutor.__init__.__kwdefaults__, "timeout_seconds", 1000.0)
    with moesaic.open(board_build, "board") as accelerator:
        yield accelerator
    assert board.buffers == [] and not board.busy


def test_close_stops_a_board_that_hangs(patient_board, board, monkeypatch):
    hang(board, monkeypatch)
    future = patient_board.submit(PICTURES[0], "depth")
    while not board.busy:
        future.done()
    patient_board.close()
    with pytest.raises(UserError, match="was closed before the frame was done"):
        future.result(LONG)
    assert board.buffers == [] and not board.busy


@pytest.mark.parametrize("kind", ["run", "stream"])
def test_control_c_stops_a_board_that_hangs_and_the_next_run_is_right(
    patient_board, board, expected, monkeypatch, kind
):
    """Also where others wait behind it: they are served as if nothing had happened."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
    hang(board, monkeypatch)
    behind: list[Future] = []

    def press() -> None:
        while not board.busy:
            threading.Event().wait(0.001)
        behind.append(patient_board.submit(PICTURES[1], "normals"))
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    with pytest.raises(KeyboardInterrupt):
        if kind == "run":
            patient_board.run(PICTURES[0], "depth")
        else:
            list(patient_board.stream(itertools.repeat(PICTURES[0]), "depth"))
    pressing.join()
    signal.signal(signal.SIGINT, before)
    assert np.array_equal(patient_board.run(PICTURES[2], "depth").raw, expected[2, "depth"][0])
    assert np.array_equal(behind[0].result(LONG).raw, expected[1, "normals"][0])


def test_a_forked_child_is_told_to_open_its_own(saved_build, expected):
    """And leaves its parent's machine alone, also when it closes."""
    with moesaic.open(saved_build, "emulator") as accelerator:
        accelerator.run(PICTURES[0], "depth")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            said = []
            for call in (accelerator.run, accelerator.submit, accelerator.stream):
                try:
                    call(PICTURES[:1], "depth")
                except UserError as error:
                    said.append(str(error))
            accelerator.close()
            os.write(writing, json.dumps(said).encode())
            os._exit(0)
        os.close(writing)
        assert os.waitpid(child, 0)[1] == 0
        with os.fdopen(reading) as pipe:
            said = json.loads(pipe.read())
        assert len(said) == 3 and all(f"was opened by process {os.getpid()}" in one for one in said)
        assert np.array_equal(accelerator.run(PICTURES[0], "depth").raw, expected[0, "depth"][0])


@pytest.mark.parametrize("frames", [None, 3, "folder", b"folder"], ids=repr)
def test_frames_of_another_kind(accelerator, frames):
    with pytest.raises(UserError, match="the frames of a stream are"):
        accelerator.stream(frames, "depth")


@pytest.mark.parametrize("tasks", [None, 3, b"depth", {"depth"}, [None], [["depth", 3]], [3]], ids=repr)
def test_tasks_of_another_kind(accelerator, tasks):
    with pytest.raises(UserError, match=r"the tasks of|a task is named by a text"):
        accelerator.stream(PICTURES, tasks)


@pytest.mark.parametrize("chosen", [None, 3, b"depth", [None]], ids=repr)
def test_tasks_of_another_kind_from_a_function(accelerator, chosen):
    with pytest.raises(UserError, match=r"the tasks of frame 0 are|a task is named by a text"):
        list(accelerator.stream(PICTURES, lambda index: chosen))
