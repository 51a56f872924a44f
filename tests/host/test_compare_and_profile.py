"""`moesaic compare` and `moesaic profile`."""

import json

import moesaic
from moesaic.host.commands.compare import compare, place_of
from moesaic.host.phases import PHASES
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.registers import COUNTERS


class Wrong(ReferenceMachine):
    """Writes one byte wrong, at an offset of the frame window, or counts wrong."""

    def __init__(self, configuration, offset=None, counter=None) -> None:
        super().__init__(configuration)
        self.offset, self.counter = offset, counter

    def run(self, program, memory, max_cycles):
        counters = super().run(program, memory, max_cycles)
        if self.offset is not None:
            memory.frame[self.offset] ^= 1
        if self.counter is not None:
            counters[self.counter] += 1
        return counters


def test_board_and_emulator_are_equal(run_moesaic, board_build, board, image_file, build):
    code, out, err = run_moesaic("compare", board_build, image_file)
    assert (code, err) == (0, "")
    assert out.count(f"{build.frame_bytes:,} bytes equal on board and emulator") == len(build.tasks)
    assert out.endswith("3 of 3 frames are equal on board and emulator\n")
    assert board.buffers == []


def test_one_task_against_the_reference(run_moesaic, saved_build, image_file):
    words = ("--tasks", "depth", "--executor", "emulator", "--against", "reference")
    code, out, _ = run_moesaic("compare", saved_build, image_file, *words)
    assert code == 0 and out.endswith("1 of 1 frames are equal on emulator and reference\n")


def test_a_machine_against_itself_says_nothing(run_moesaic, saved_build, image_file, no_pynq):
    code, out, err = run_moesaic("compare", saved_build, image_file)
    assert (code, out) == (2, "") and "the emulator against itself" in err and err.count("\n") == 1


def test_a_wrong_byte_is_found_wherever_it_is(saved_build, build, image):
    places = {
        build.tasks["depth"].output_offset + 3: "the output of depth",
        build.image_offset: "the image",
        build.frame_bytes - 1: "memory that depth",
    }
    with moesaic.open(saved_build, "reference") as right:
        for offset, where in places.items():
            with moesaic.open(saved_build, Wrong(build.configuration, offset=offset)) as wrong:
                difference = compare(wrong, right, image, "depth")
                assert f"1 of {build.frame_bytes:,} bytes differ, the first at {offset} ({where}" in difference
                assert place_of(build, "depth", offset).startswith(where)
        with moesaic.open(saved_build, Wrong(build.configuration, counter="read_beats")) as wrong:
            assert compare(wrong, right, image, "depth").startswith("counter read_beats: ")


def test_a_difference_is_exit_code_1(run_moesaic, board_build, board, build, image_file):
    board.machine = Wrong(build.configuration, offset=build.tasks["normals"].output_offset)
    code, out, _ = run_moesaic("compare", board_build, image_file, "--tasks", "normals,depth")
    assert code == 1 and "the output of normals" in out
    assert board.buffers == []


def test_profile_on_the_board(run_moesaic, board_build, board, image_file, tmp_path, build):
    place = tmp_path / "profile.json"
    code, out, err = run_moesaic("profile", board_build, image_file, "--frames", 2, "--json", place)
    assert (code, err) == (0, "")
    profile = json.loads(place.read_text())
    assert profile["fingerprint"] == build.fingerprint and profile["executor"] == "board"
    assert set(profile["tasks"]) == set(build.tasks) and profile["stream"]["frames"] == 2 * len(build.tasks)
    for name, task in profile["tasks"].items():
        assert set(task["milliseconds"]) == set(PHASES)
        assert set(task["counters"]) == {counter for counter, _ in COUNTERS}
        assert f"{task['counters']['cycles']:,}" in out and name in out
    assert board.buffers == []


def test_profile_without_a_clock(run_moesaic, saved_build, image_file):
    code, out, _ = run_moesaic(
        "profile", saved_build, image_file, "--frames", 1, "--executor", "emulator", "--tasks", "depth"
    )
    assert code == 0 and "no clock" in out and "frames a second" in out and "segmentation" not in out


def test_profile_shows_watts(run_moesaic, board_build, board, image_file):
    from tests.host.test_power import RAILS

    board.rails = RAILS
    _, out, _ = run_moesaic("profile", board_build, image_file, "--frames", 1)
    assert "12V" in out and "9.500 W" in out
