"""Reading, adding up and judging coverage, on data files made by hand; and the plan against the tests that it names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.sim.machines.coverage_data import WITHOUT, coverage_configuration
from moesaic.sim.machines.rtl_directories import COVERAGE_DIRECTORY
from moesaic.spec.configuration import load_configuration
from moesaic.spec.isa import BY_NAME, INSTRUCTION_BYTES, pack
from tests.spec.legal_fields import SMALLEST, random_fields
from tests.verify.coverage.exclusions import Exclusion, load_exclusions
from tests.verify.coverage.figures import NOISE, by_module, total
from tests.verify.coverage.measurement import collected
from tests.verify.coverage.plan import load_plan, points_of_programs, seen_rows, spelled_out
from tests.verify.coverage.points import Bit, Block, Counts, accelerator_modules, read_counts
from tests.verify.coverage.run import impossible_points
from tests.verify.coverage.workloads import BOTH, FULL_SIZE, WORKLOADS, Workload, chosen
from tests.verify.python_sources import REPOSITORY, python_sources

MODULE = "moesaic_fifo"


def point(
    kind: str, comment: str, count: int, *, module: str = MODULE, hierarchy: str = "top.a", lines: str = ""
) -> str:
    """A line of Verilator's data file."""
    entries = {
        "f": f"/somewhere/{module}.sv", "l": "40", "n": "3", "t": kind, "page": f"v_{kind}/{module}__W8", "o": comment, "h": hierarchy,
    } | ({"S": lines} if lines else {})  # fmt: skip
    return "C '" + "".join(f"\x01{key}\x02{value}" for key, value in entries.items()) + f"' {count}\n"


def counts(tmp_path: Path, *lines: str) -> Counts:
    path = tmp_path / "some.dat"
    path.write_text("# SystemC::Coverage-3\n" + "".join(lines))
    return read_counts(path, accelerator_modules())


def test_a_bit_moves_in_both_directions_and_counts_in_its_best_instance(tmp_path: Path) -> None:
    found = counts(
        tmp_path,
        point("toggle", "data_i[3]:0->1", 2), point("toggle", "data_i[3]:1->0", 1), point("toggle", "data_i[3]:0->1", 4, hierarchy="top.b"),
    )  # fmt: skip
    assert found.bits == {Bit(MODULE, 40, "data_i[3]"): 4}


def test_simulations_that_only_leave_power_up_do_not_add_up(tmp_path: Path) -> None:
    once = counts(tmp_path, point("toggle", "q:0->1", 1), point("line", "block", 5, lines="40-41"))
    both = Counts()
    both.add(once)
    both.add(Counts.unpacked(once.packed()))
    assert both.bits == {Bit(MODULE, 40, "q"): 1}
    assert both.blocks == {Block(MODULE, 40, 3, "block", "40-41"): 10}
    figures = by_module(both, [])[MODULE]
    assert (figures.toggle.covered, figures.toggle.total) == (0, 1)
    assert figures.missing == ["line 40: q moved 1 times"]


def test_instances_and_parameters_of_a_module_are_one_and_other_modules_none(tmp_path: Path) -> None:
    found = counts(
        tmp_path,
        point("branch", "if", 0, lines="50"), point("branch", "if", 3, hierarchy="top.b", lines="50"),
        point("branch", "else", 0, lines="52"), point("line", "block", 9, module="testbench", lines="3"),
    )  # fmt: skip
    figures = by_module(found, [])
    assert list(figures) == [MODULE]
    assert (figures[MODULE].branch.covered, figures[MODULE].branch.total) == (1, 2)
    assert (figures[MODULE].line.covered, figures[MODULE].line.total) == (1, 2)
    assert total(figures).branch.percent == 50


def test_what_is_left_out_counts_in_no_figure(tmp_path: Path) -> None:
    found = counts(tmp_path, point("toggle", "a[0]:0->1", 0), point("toggle", "b[0]:0->1", 0))
    figures = by_module(found, [Exclusion(MODULE, "a reason", signal=r"a\[\d\]")])[MODULE]
    assert (figures.toggle.total, figures.toggle.excluded, figures.contradicted) == (1, 1, [])
    found.bits[Bit(MODULE, 40, "a[0]")] = NOISE + 1
    figures = by_module(found, [Exclusion(MODULE, "a reason", signal=r"a\[\d\]")])[MODULE]
    assert figures.contradicted == [f"line 40: a[0] moved {NOISE + 1} times"]


def test_every_exclusion_has_a_reason_and_a_module_that_is_there() -> None:
    assert len(load_exclusions(FULL_SIZE)) < len(load_exclusions())
    for rule in load_exclusions():
        assert set(rule.machines) <= set(BOTH)
        assert len(rule.reason) > 10
        assert any(re.fullmatch(rule.module, module) for module in accelerator_modules()), rule


def test_a_workload_without_simulators_that_count_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'nothing' ran no simulator that counts"):
        collected(tmp_path, "nothing")


def test_each_test_of_a_plan_point_is_in_a_workload() -> None:
    run = {test for workload in WORKLOADS for test in workload.tests}
    tests = re.findall(r"^def (test_\w+)", (REPOSITORY / "tests/sim/test_plan_points.py").read_text(), re.MULTILINE)
    assert {f"tests/sim/test_plan_points.py::{test}" for test in tests} <= run


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name.replace(" ", "-"))
def test_the_tests_of_a_workload_are_there(workload: Workload) -> None:
    for test in workload.tests:
        file, _, name = test.partition("::")
        assert f"\ndef {name}(" in (REPOSITORY / file).read_text() if name else (REPOSITORY / file).is_file(), test


def test_a_workload_depends_on_what_its_tests_import() -> None:
    names = {str(path.relative_to(REPOSITORY)) for path in python_sources([REPOSITORY / "tests/sim/test_route.py"])}
    assert {"tests/sim/test_route.py", "tests/sim/act_unit.py", "spec/isa.py", "sim/bench_kit/runner.py"} <= names
    assert not {"tests/sim/programs.py", "hls/compiler/generate.py", "tests/sim/test_store.py"} & names


def test_modules_that_are_many_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WITHOUT, raising=False)
    assert coverage_configuration() == ""
    (workload,) = chosen(["full-size matmul"])
    monkeypatch.setenv(WITHOUT, " ".join(workload.without))
    assert coverage_configuration().splitlines()[0] == 'coverage_off -file "*/moesaic_dsp48_mac.sv"'
    assert set(workload.without) <= accelerator_modules()
    assert {f"unit {module.removeprefix('moesaic_')}" for module in workload.without} <= {
        w.name for w in chosen([], FULL_SIZE)
    }


def test_an_unknown_workload_is_named() -> None:
    with pytest.raises(UserError, match="unknown workload zeros; known: plan points, semaphores, "):
        chosen(["zeros"])
    names = {workload.name for workload in chosen([], FULL_SIZE)}
    assert {"full-size matmul", "unit isqrt"} <= names and not {"unit matmul", "plan points, conflicts"} & names


def test_patterns_stand_for_every_choice() -> None:
    assert spelled_out("a/{b,c}-{d,e}") == ["a/b-d", "a/b-e", "a/c-d", "a/c-e"]


def test_each_row_names_a_test_that_is_there() -> None:
    for test in {row.test for row in load_plan()}:
        file, _, name = test.partition("::")
        assert f"\ndef {name}(" in (REPOSITORY / file).read_text(), test


def test_each_held_point_of_the_simulator_is_in_the_plan_or_impossible() -> None:
    text = (COVERAGE_DIRECTORY / "plan_points.sv").read_text()
    names = {f"held/{name}" for name in re.findall(r'`HELD\(\w+, "([^"]+)"', text)}
    planned = {row.point for row in load_plan()} | set(impossible_points())
    assert len(names) > 20
    assert names - planned == set()


@pytest.mark.parametrize("seed", range(2), ids=lambda seed: f"seed{seed}")
def test_programs_make_points_of_fields_happen(seed: int) -> None:
    rng, tiny = np.random.default_rng(seed), load_configuration("tiny")
    names = [name for name in SMALLEST for _ in range(40)]
    code = [pack(name, **{k: v for k, v in random_fields(name, tiny, rng).items() if k != "opcode"}) for name in names]
    found = points_of_programs([*code, bytes([0x63]) + bytes(INSTRUCTION_BYTES - 1)])
    assert {
        f"field/{name}/{field.name}/bits-all-seen"
        for name in SMALLEST
        for field in BY_NAME[name].fields
        if field.width == 1
    } <= found
    rows = load_plan()
    assert {row.point for row in rows} >= found
    seen = seen_rows(rows, {"busy/load+store": 1}, found)
    assert seen["busy/load+store"] and not seen["busy/load+route"]
    assert points_of_programs([]) == set()
