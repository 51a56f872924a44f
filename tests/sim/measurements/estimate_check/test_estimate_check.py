"""Random configurations: what is drawn, and the estimate of their cycles beside the RTL's."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from moesaic.caches import cache_directory
from moesaic.campaign.workers import in_this_process
from moesaic.command_line import EXIT_USER_ERROR, main
from moesaic.hls.compiler.cycle_estimate import estimate_frame
from moesaic.hls.compiler.cycle_model import CycleModel
from moesaic.sim.measurements.benchmark.bundles import Bundles
from moesaic.sim.measurements.cycle_fit.probe import Probe
from moesaic.sim.measurements.estimate_check.comparison import TOLERANCE, Comparison, compare, comparison_table
from moesaic.sim.measurements.estimate_check.sampling import SIZES, TASK, draw_sample
from moesaic.spec.configuration import load_configuration
from moesaic.spec.dram_timing import LATENCY
from moesaic.spec.isa import LoadDestination
from tests.docs.figures import FIGURES
from tests.docs.markdown import REPOSITORY

RECORDED = FIGURES["random"]


ROWS = {
    name: cells
    for line in (REPOSITORY / "docs" / "configuration.md").read_text().splitlines()
    for name, *cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    if name in RECORDED
}


def sample_of(name: str):
    size, seed = name.split("-")
    return draw_sample(size, int(seed))


def estimate(sample):
    model = sample.recipe.model
    tasks = {name: model.bundle_task(name, whole) for name, whole in model.whole_pathways.items()}
    return estimate_frame(model.architecture, tasks, TASK, sample.configuration)


@pytest.mark.parametrize("name", RECORDED)
def test_estimates_of_random_configurations(name: str) -> None:
    """Within what is asked of what was measured with the same programs, and as the page has it."""
    sample, (cycles, found) = sample_of(name), RECORDED[name]
    c = sample.configuration
    assert found == pytest.approx(cycles, rel=TOLERANCE)
    assert ROWS[name] == [
        c.array, str(c.act_ports), str(c.act_banks), str(c.load_ports), sample.network, f"{cycles:,}", f"{found:,}",
        f"{100 * (found / cycles - 1):+.1f} %",
    ]  # fmt: skip


def test_thirty_were_measured_of_three_sizes() -> None:
    assert list(ROWS) == list(RECORDED) == [f"{size}-{seed}" for size in SIZES for seed in range(10)]


@pytest.mark.parametrize("size", SIZES)
def test_samples_differ_are_legal_and_the_same_every_time(size: str) -> None:
    samples = [draw_sample(size, seed) for seed in range(4)]
    assert samples == [draw_sample(size, seed) for seed in range(4)]
    assert len({sample.configuration.fingerprint for sample in samples}) == len(samples)
    low, high = SIZES[size].macs
    assert all(low <= sample.configuration.macs_per_cycle <= high for sample in samples)


def cycles_of(probe: Probe) -> float:
    """Cycles of a program's last instruction."""
    *_, last = CycleModel(probe.configuration).run(probe.finish().entries).executions
    return last.done - last.taken


def test_what_the_memories_take_bounds_loads_and_short_runs_take_longer() -> None:
    """A word a cycle goes to the weights, one every other cycle to the activations; 16 bursts are under way at once."""
    tiny, size = load_configuration("tiny"), 8192
    assert size / tiny.weight_word_bytes < cycles_of(Probe(tiny).load(LoadDestination.WEIGHT, size)) < size / 24
    assert 2 * size / tiny.act_word_bytes < cycles_of(Probe(tiny).load(LoadDestination.ACT, size)) < size / 7
    long, short = cycles_of(Probe(tiny).store(4096)), cycles_of(Probe(tiny).store(16, runs=256))
    assert long < 4096 / 16 + 100 and short > 256 * LATENCY / 16


def test_rows_in_one_bank_drain_one_by_one() -> None:
    """Results of one word a row lie in successive banks, those of as many words as banks in the same."""
    tiny = load_configuration("tiny")
    apart, together = (
        cycles_of(Probe(tiny).product(64, tiles, 1)) / tiles for tiles in (tiny.act_banks - 1, tiny.act_banks)
    )
    assert together > 1.5 * apart


def test_a_drain_into_the_only_bank_holds_up_the_vector_unit() -> None:
    """Of a product after a softmax whose results go where the softmax's do; with more banks than the drain uses there is room beside it."""

    def softmax_done(banks: int, product: bool) -> float:
        one = replace(load_configuration("tiny"), act_ports=1, act_banks=banks, act_ultra_bytes=0, shared_bytes=0)
        probe = Probe(one).softmax(64, 1)
        entries = (probe.product(64, 2, 1) if product else probe).finish().entries
        apart = [
            replace(entry, wait_mask=0, signal_mask=0) for entry in entries
        ]  # the probe orders them by their addresses
        return CycleModel(one).run(apart).executions[0].done

    results = 64 * 2
    assert softmax_done(1, True) == pytest.approx(softmax_done(1, False) + results, abs=1)
    assert softmax_done(4, True) == softmax_done(4, False)


def test_the_table_says_what_was_missed() -> None:
    sample = sample_of("small-1")
    guess = estimate(sample)
    fine, off = (Comparison(sample, round(guess.cycles * k), 1, 0, guess, guess) for k in (1.01, 1.2))
    table = comparison_table([fine, off])
    assert [row[-1] for row in table.rows] == ["met", "missed"]
    assert "small-1 with -16.7 %" in table.notes[0]


def test_an_unknown_size_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit-cycles", "--random", "1", "--size", "huge"]) == EXIT_USER_ERROR
    assert "unknown size 'huge': choose small, middle, large" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small-1", "small-6"])
def test_estimates_beside_the_rtl(name: str, tmp_path: Path) -> None:
    simulators, console = cache_directory("simulators"), Console(quiet=True)
    (found,) = compare([sample_of(name)], Bundles(tmp_path), simulators, tmp_path, in_this_process(), console)
    assert found.wrong == 0
    assert abs(found.error) <= TOLERANCE
    assert found.encoder < found.cycles
