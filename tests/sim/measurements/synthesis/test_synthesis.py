"""Open synthesis: exact counts of small modules, sums over the hierarchy, and longest paths that can be counted by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from moesaic.caches import cache_directory
from moesaic.errors import InternalError
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY as RTL
from moesaic.hls.hardware.accelerator_sources import rtl_parameters
from moesaic.hls.hardware.devices import DEVICES
from moesaic.hls.hardware.resource_estimate import estimate_resources
from moesaic.sim.machines.rtl_lint import SYNTHESISED_TOP
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.measurements.synthesis import (
    counting,
    judging,
    module_synthesis,
    netlist,
)
from moesaic.sim.measurements.synthesis import (
    path_delays as timing,
)
from moesaic.sim.measurements.synthesis import (
    synthesis_report as report,
)
from moesaic.sim.measurements.synthesis.elaboration import elaborate
from moesaic.sim.measurements.synthesis.netlist import Netlist
from moesaic.sim.measurements.synthesis.synthesis_page import resources_markdown, resources_table
from moesaic.sim.measurements.synthesis.synthesised_sources import synthesised_sources
from moesaic.spec.board import clock_mhz
from moesaic.spec.configuration import load_configuration

LEVEL = timing.LEVEL_NS


def measured(top: str, cache: Path, directory: Path = RTL, **parameters: int) -> dict[str, module_synthesis.Result]:
    design = module_synthesis.measure(top, source_closure(top, [directory]), parameters, cache)
    return {result.module: result for result in design.results}


def lut(name: str, inputs: list, output: int) -> tuple[str, str, dict]:
    pins = {f"I{index}": [bit] for index, bit in enumerate(inputs)}
    return name, f"LUT{len(inputs)}", {**pins, "O": [output]}


def flip_flop(name: str, data: int | str, output: int, **pins: int) -> tuple[str, str, dict]:
    return name, "FDRE", {"C": [1], "D": [data], "Q": [output], **{pin: [bit] for pin, bit in pins.items()}}


def test_slices_and_their_cascade_cost_no_fabric(tmp_path):
    dot = measured("moesaic_array_cell", tmp_path, TileDepth=8)[
        "moesaic_packed_dot"
    ]  # Yosys 0.70 stops at it as the top
    assert dot.total == Counter({"dsp": 8})


def test_array_is_the_sum_of_its_cells_and_the_second_run_synthesises_nothing(tmp_path, monkeypatch):
    size = {"TileRows": 2, "TileColumns": 8, "TileDepth": 4}
    first = measured("moesaic_matmul_array", tmp_path, **size)
    array, columns, cell, dot, replica = (
        first[f"moesaic_{name}"] for name in ("matmul_array", "array_columns", "array_cell", "packed_dot", "replica")
    )
    assert (array.instances, columns.instances, cell.instances, dot.instances) == (1, 4, 8, 8)
    assert array.total["dsp"] == 2 * 8 * 4 // 2
    assert cell.own["ff"] == 128  # two accumulators of 32 bits, and what is held of them
    for resource in counting.RESOURCES:
        copies = 5 * replica.own[resource]
        assert columns.total[resource] == columns.own[resource] + 2 * cell.total[resource] + copies
        assert array.total[resource] == array.own[resource] + 4 * columns.total[resource]
    assert 0 < array.worst.delay <= timing.CLOCK_NS
    monkeypatch.setattr(netlist, "synthesise", lambda *_: pytest.fail("synthesised again"))
    monkeypatch.setattr(timing, "analyse", lambda *_: pytest.fail("analysed again"))
    assert measured("moesaic_matmul_array", tmp_path, **size) == first


def test_a_lane_of_the_requantiser_is_one_multiplier(tmp_path):
    lane = measured("moesaic_requantise", tmp_path)["moesaic_requantise"]
    assert lane.total["dsp"] == 1 and lane.total["bram18"] == lane.total["uram"] == 0
    assert 150 < lane.total["lut"] < 250
    assert lane.worst.delay <= timing.CLOCK_NS


COUNTER = """module counter_of_two(input logic clk_i, input logic up_i, output logic [1:0] value_o);
  {comment}
  always_ff @(posedge clk_i) if (up_i) value_o <= value_o + 1'b1;
endmodule
"""
PAIR = """module pair(input logic clk_i, input logic [1:0] up_i, output logic [3:0] value_o);
  counter_of_two u_low (.clk_i, .up_i(up_i[0]), .value_o(value_o[1:0]));
  counter_of_two u_high (.clk_i, .up_i({condition}), .value_o(value_o[3:2]));
endmodule
"""


def pair(directory: Path, comment: str = "// nothing", condition: str = "up_i[1]") -> dict:
    (directory / "counter_of_two.sv").write_text(COUNTER.format(comment=comment))
    (directory / "pair.sv").write_text(PAIR.format(condition=condition))
    modules = elaborate("pair", source_closure("pair", [directory]), {})
    return {modules[name].base: key for name, key in netlist.keys(modules).items()}


def test_what_is_kept_depends_on_the_module_alone(tmp_path):
    """Comments and lines change nothing, and a change of one module leaves the others' netlists in place."""
    first = pair(tmp_path)
    assert list(first) == ["counter_of_two", "pair"]
    assert pair(tmp_path, comment="// one\n  // line more") == first
    second = pair(tmp_path, condition="up_i[1] ^ value_o[1]")
    assert second["counter_of_two"] == first["counter_of_two"] and second["pair"] != first["pair"]


def test_each_instance_counts(tmp_path):
    pair(tmp_path, condition="up_i[1] ^ value_o[1]")
    results = measured("pair", tmp_path / "cache", directory=tmp_path)
    assert results["counter_of_two"].instances == 2
    assert results["pair"].total["ff"] == 4
    # from the low counter's register through one LUT of the pair to the enables of the high one
    worst = results["pair"].worst
    assert worst.levels == 1 and worst.delay == pytest.approx(2 * LEVEL)
    assert worst.start == "u_low.value_o[1]" and worst.end.startswith("u_high.value_o")


def test_an_output_may_be_connected_to_nothing(tmp_path):
    (tmp_path / "toggle.sv").write_text(
        "module toggle(input logic clk_i, output logic value_o, output logic inverse_o);\n"
        "  always_ff @(posedge clk_i) value_o <= !value_o;\n  assign inverse_o = !value_o;\nendmodule\n"
    )
    (tmp_path / "client.sv").write_text(
        "module client(input logic clk_i, output logic value_o);\n"
        "  toggle u_toggle (.clk_i, .value_o, .inverse_o());\nendmodule\n"
    )
    results = measured("client", tmp_path / "cache", directory=tmp_path)
    assert results["toggle"].instances == results["client"].total["ff"] == 1


def test_sources_that_yosys_refuses_are_named(tmp_path):
    (tmp_path / "broken.sv").write_text("module broken(input logic a_i); assign nothing = ; endmodule\n")
    with pytest.raises(InternalError, match=r"broken\.sv:1"):
        measured("broken", tmp_path / "cache", directory=tmp_path)


def test_path_counts_luts_and_the_pins_it_ends_at():
    cells = [
        flip_flop("a", 10, 10),
        lut("first", [10, 10], 11),
        lut("second", [11, 10], 12),
        flip_flop("b", 12, 13),
    ]
    names = {10: "a_q", 13: "b_q"}
    assert timing.analyse(Netlist({}, cells, names), {}).worst == timing.Path(2 * LEVEL, 2, "a_q", "b_q")
    cells[-1] = flip_flop("b", "0", 13, CE=12)
    assert timing.analyse(Netlist({}, cells, names), {}).worst == timing.Path(3 * LEVEL, 2, "a_q", "b_q (CE)")


def test_path_crosses_modules():
    """Register in one child, through a LUT of another child and one of the parent, to a register in the first."""
    child = Netlist(
        {"d": ("input", [20]), "q": ("output", [21])},
        [lut("l", [20], 22), flip_flop("r", 22, 21)],
        {21: "r_q"},
    )
    through = Netlist({"x": ("input", [30, 31]), "y": ("output", [32])}, [lut("l", [30, 31], 32)], {})
    models = {"child": timing.analyse(child, {}), "through": timing.analyse(through, {})}
    assert models["child"].worst is None
    assert models["child"].from_input == {("d", 0): timing.Path(LEVEL, 1, "", "r_q")}
    assert models["through"].through[("x", 1)] == {("y", 0): timing.Path(LEVEL, 1, "", "")}
    parent = Netlist(
        {},
        [
            ("u_child", "child", {"d": [42], "q": [40]}),
            ("u_through", "through", {"x": ["0", 40], "y": [41]}),
            lut("own", [41], 42),
        ],
        {},
    )
    worst = timing.analyse(parent, models).worst
    assert (worst.levels, worst.start, worst.end) == (3, "u_child.r_q", "u_child.r_q")
    assert worst.delay == pytest.approx(3 * LEVEL)


def test_one_path_is_kept_for_each_pair_of_instances():
    child = Netlist({"d": ("input", [20]), "q": ("output", [21])}, [flip_flop("r", 20, 21)], {21: "r_q"})
    models = {"child": timing.analyse(child, {})}
    cells = [
        ("u_a", "child", {"d": [42], "q": [40]}),
        ("u_b", "child", {"d": [44], "q": [41]}),
        lut("one", [40], 43),
        lut("two", [43, 41], 44),
        lut("three", [41], 42),
    ]
    paths = timing.analyse(Netlist({}, cells, {}), models).paths
    assert [(path.levels, path.start, path.end) for path in paths] == [
        (2, "u_a.r_q", "u_b.r_q"),
        (1, "u_b.r_q", "u_a.r_q"),
    ]


def test_path_from_a_memory_and_along_a_carry_chain():
    wide = {"DOUTADOUT": [50], "ADDRARDADDR": [51], "CLKARDCLK": [1]}
    cells = [("m", "RAMB36E2", wide), flip_flop("r", 50, 52)]
    held = timing.analyse(Netlist({}, [*cells, lut("l", [52], 53), flip_flop("s", 53, 54)], {52: "r_q"}), {}).worst
    assert (held.delay, held.start) == (timing.RAM_REGISTER_NS + LEVEL, "r_q (RAM register)") and held.at_block
    cells = [("m", "RAMB36E2", wide), lut("l", [50], 53), flip_flop("r", 53, 52)]
    worst = timing.analyse(Netlist({}, cells, {50: "data", 52: "r_q"}), {}).worst
    assert (worst.delay, worst.start) == (timing.RAM_OUTPUT_NS + LEVEL, "data (RAM)") and worst.at_block
    chain = [flip_flop("a", 60, 60), lut("p", [60, "0"], 61)]
    carry = "0"
    for link in range(3):
        sums, carries = [70 + 10 * link + i for i in range(4)], [74 + 10 * link + i for i in range(4)]
        pins = {"S": [61 if link == 0 else "0"] * 4, "DI": ["0"] * 4, "CI": [carry], "CYINIT": ["0"]}
        chain.append((f"c{link}", "CARRY4", {**pins, "O": sums, "CO": carries}))
        carry = carries[3]
    chain.append(flip_flop("r", 93, 100))
    worst = timing.analyse(Netlist({}, chain, {}), {}).worst
    # the LUT, two links of four bits, and the way out of the chain
    assert worst.delay == pytest.approx(LEVEL + 2 * timing.CARRY_STEP_NS + timing.CARRY_ENTRY_NS)


def test_multiplier_between_registers_is_no_path_and_one_without_is():
    product = {"A": [10, 11], "B": [12], "P": [13, 14], "CLK": [1]}
    operands = [flip_flop(f"a{bit}", "0", bit) for bit in (10, 11, 12)]
    taken = [flip_flop("p0", 13, 15), flip_flop("p1", 14, 16)]
    registered = timing.analyse(Netlist({}, [*operands, ("m", "DSP48E2", product), *taken], {}), {}).worst
    assert registered.delay == pytest.approx(LEVEL)
    late = [lut("sum", [13, 14], 17), flip_flop("p", 17, 18)]
    worst = timing.analyse(Netlist({}, [*operands, ("m", "DSP48E2", product), *late], {}), {}).worst
    assert worst.delay == pytest.approx(timing.MULTIPLY_NS + LEVEL)


def test_combinational_loop_is_found():
    cells = [lut("a", [10, 11], 12), lut("b", [12, 13], 11)]
    assert timing.analyse(Netlist({}, cells, {}), {}).loops == 1


def test_cells_are_counted_and_unknown_ones_refused():
    cells = [("m", "RAM64M8", {}), ("r", "RAMB18E2", {}), ("i", "INV", {}), ("x", "MUXF7", {}), ("u", "below", {})]
    assert counting.count(Netlist({}, cells, {}), {"\\below": None}) == Counter(
        {"lut": 9, "lut_memory": 8, "bram18": 1}
    )
    with pytest.raises(InternalError, match="no cost is known for cell LATCH"):
        counting.count(Netlist({}, [("l", "LATCH", {})], {}), {})


def test_luts_of_a_carry_bit_share_one_if_nothing_else_needs_the_second():
    gate, gated = lut("gate", [10, 11], 12), lut("s", [12, 13], 14)
    bit = ("c", "CARRY4", {"S": [14, "0", "0", "0"], "DI": [12, "0", "0", "0"]})
    assert counting.count(Netlist({}, [gate, gated, bit], {}), {}) == Counter({"lut": 1, "carry4": 1})
    seen = {"seen": ("output", [12])}
    assert counting.count(Netlist(seen, [gate, gated, bit], {}), {})["lut"] == 2
    wide = [lut("gate", [10, 11, 15], 12), lut("s", [12, 13, 16, 17], 14), bit]
    assert counting.count(Netlist({}, wide, {}), {})["lut"] == 2


def made_up(module: str, instances: int, delays: tuple[float, ...], loops: int = 0) -> module_synthesis.Result:
    counts = Counter(dsp=4, bram18=3, lut=1200, ff=500)
    total = Counter({name: amount * 5 for name, amount in counts.items()})
    paths = tuple(timing.Path(delay, 7, "from_q[1]", "to_d") for delay in delays)
    return module_synthesis.Result(module, instances, counts, total, paths, loops)


def test_table_and_page_have_every_module_and_the_whole():
    results = [
        made_up("leaf", 3, (2.0,)),
        made_up("loop", 1, (), 1),
        made_up("slow", 1, (4.0, 3.5, 1.0)),
        made_up("top", 1, (3.0, 1.0)),
    ]
    table = resources_table(results)
    figures = {row[0][0]: [words for words, _ in row[1:]] for row in table.written()}
    assert list(figures) == ["top", "slow", "loop", "leaf", "whole"]
    assert figures["leaf"] == ["3", "12", "4.5", "0", "3,600", "0", "1,500", "0", "2.00", "7", "yes"]
    assert figures["slow"][-3:] == ["4.00", "7", "NO"] and figures["loop"][-3:] == ["loop", "", "NO"]
    assert figures["whole"] == ["", "20", "7.5", "0", "6,000", "0", "2,500", "0", "4.00", "", "2 miss"]
    assert {row[0][0] for row in table.written() if row[-1][1] == "bad"} == {"slow", "loop"}
    design = module_synthesis.Measured(tuple(results), {}, 7)
    judgements = judging.judge(design, DEVICES["XCZU7EV"])
    page = resources_markdown(load_configuration("tiny"), design, judgements, 12.5)
    assert table.to_markdown() in page
    paths = [line.split(" | ")[:2] for line in page.splitlines() if "`from_q[1]`" in line]
    slow = [["| slow", "4.00"], ["| slow", "3.50"]]
    assert paths == [*slow, ["| top", "3.00"], ["| leaf", "2.00"], ["| top", "3.00"], ["| top", "1.00"]]


@pytest.mark.slow
def test_estimate_agrees_with_synthesis_of_the_test_configuration(tmp_path):
    tiny = load_configuration("tiny")
    sources = source_closure("moesaic_accelerator", [RTL])
    design = module_synthesis.measure("moesaic_accelerator", sources, rtl_parameters(tiny), tmp_path)
    results = design.results
    need, expected = judging.need_of(design), estimate_resources(tiny)
    assert (need["dsp"], need["bram36"], need["uram"]) == (expected.dsp, expected.bram36, expected.uram)
    assert need["lut"] == pytest.approx(expected.lut, rel=0.07)
    assert need["lut_memory"] == pytest.approx(expected.lut_memory, rel=0.03)
    assert all(result.loops == 0 for result in results)
    device = DEVICES["XCZU7EV"]
    judgements = judging.judge(design, device)
    document = report.document(tiny, device, design, need, judgements, "hash")
    assert sum(module["own"]["lut"] for module in document["modules"]) == need["lut"]
    assert {judgement.guideline for judgement in judgements if judgement.percent is not None and judgement.kept} >= {
        "DSP48E2", "BRAM36", "URAM288", "LUT"
    }  # fmt: skip
    page = resources_markdown(tiny, design, judgements, document["big_blocks_percent"])
    assert "estimate before place and route" in page and page.endswith(document["verdict"] + "\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("zcu104", set()), ("kv260", set()), ("zcu102", set()),
        ("zcu104-full", {"DSP48E2", "BRAM36", "LUT", "LUT as memory"}),
    ],
)  # fmt: skip
def test_shipped_configurations_keep_the_guidelines(name: str, broken: set[str]) -> None:
    configuration = load_configuration(name)
    design = module_synthesis.measure(
        SYNTHESISED_TOP, synthesised_sources(), rtl_parameters(configuration), cache_directory("netlists")
    )
    judgements = judging.judge(design, DEVICES[configuration.part], clock_mhz(configuration))
    assert {judgement.guideline for judgement in judgements if not judgement.kept} == broken
