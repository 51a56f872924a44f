"""The judge on small designs, each of which breaks one guideline, and on its neighbour that keeps it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from moesaic.hls.hardware import guidelines
from moesaic.hls.hardware.devices import DEVICES
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.measurements.synthesis import judging, loads, memories, module_synthesis, slices
from moesaic.sim.measurements.synthesis.module_synthesis import Measured
from moesaic.sim.measurements.synthesis.netlist import Netlist

ZU7EV = DEVICES["XCZU7EV"]


LEAF = """module leaf(input logic clk_i, input logic rst_ni, input logic enable_i, input logic [7:0] d_i, output logic [7:0] q_o);
  always_ff @(posedge clk_i) if (!rst_ni) q_o <= '0; else if (enable_i) q_o <= d_i;
endmodule
"""
MEMORY = """module {name}(input logic clk_i, input logic [1:0] we_i, input logic [10:0] a_i,
    input logic [15:0] d_i, output logic [15:0] q_o);
  (* ram_style = "{style}" *) logic [15:0] memory[{depth}];
  logic [15:0] data_q;
  always_ff @(posedge clk_i) {write} else data_q <= memory[a_i];
  {rest}
endmodule
"""
WHOLE = "if (we_i[0]) memory[a_i] <= d_i;"
BYTES = "if (we_i != 0) for (int b = 0; b < 2; b++) begin if (we_i[b]) memory[a_i][8*b+:8] <= d_i[8*b+:8]; end"
MEMORIES = {
    "held_block": ("block", 1536, "always_ff @(posedge clk_i) q_o <= data_q;"),
    "held_bytes": ("block", 2048, "always_ff @(posedge clk_i) q_o <= data_q;"),
    "held_ultra": ("ultra", 2048, "always_ff @(posedge clk_i) q_o <= data_q;"),
    "bare": ("block", 2048, "assign q_o = data_q;"),
    "changed": ("ultra", 2048, "always_ff @(posedge clk_i) q_o <= data_q ^ d_i;"),
}
"""Name of the module to style, depth, and what becomes of the read data."""
PRODUCT = """module {name}(input logic clk_i, input logic signed [15:0] a_i, b_i, output logic signed [31:0] p_o);
  logic signed [15:0] a_q, b_q;
  logic signed [31:0] m_q;
  always_ff @(posedge clk_i) begin
    a_q <= a_i;
    b_q <= b_i;
    m_q <= {m};
    p_o <= {p};
  end
endmodule
"""
PRODUCTS = {
    "whole": ("a_q * b_q", "m_q", ()),
    "operands": ("a_i * b_i", "m_q", ("A/B",)),
    "result": ("a_q * b_q", "m_q ^ 32'(a_q)", ("P",)),
    "product": ("(a_q * b_q) ^ 32'(a_q)", "m_q", ("M", "P")),
}
"""Name of the module to its two lines, and the registers that its slice lacks."""
_LEAVES = 63


def _garden() -> str:
    """A module with 63 leaves behind one enable, and one of each memory and product."""
    lines = [
        "module garden(input logic clk_i, input logic rst_ni, input logic enable_i, input logic [15:0] d_i, e_i,",
        f"    output logic [{_LEAVES - 1}:0][7:0] leaves_o, output logic [{len(MEMORIES) - 1}:0][15:0] words_o,",
        f"    output logic [{len(PRODUCTS) - 1}:0][31:0] products_o);",
        "  logic enable_q;",
        "  always_ff @(posedge clk_i) enable_q <= enable_i;",
        f"  for (genvar i = 0; i < {_LEAVES}; i++) begin : gen_leaf",
        "    leaf u_leaf (.clk_i, .rst_ni, .enable_i(enable_q), .d_i(d_i[7:0]), .q_o(leaves_o[i]));",
        "  end",
        *(
            f"  {name} u_{name} (.clk_i, .we_i(e_i[1:0]), .a_i(e_i[12:2]), .d_i, .q_o(words_o[{n}]));"
            for n, name in enumerate(MEMORIES)
        ),
        *(
            f"  {name} u_{name} (.clk_i, .a_i(d_i), .b_i(e_i), .p_o(products_o[{n}]));"
            for n, name in enumerate(PRODUCTS)
        ),
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def garden(tmp_path_factory) -> Measured:
    """All small designs in one, because Yosys takes longer to start than to synthesise them."""
    directory = tmp_path_factory.mktemp("garden")
    texts = {"leaf": LEAF, "garden": _garden()}
    texts |= {
        name: MEMORY.format(
            name=name, style=style, depth=depth, rest=rest, write=BYTES if name == "held_bytes" else WHOLE
        )
        for name, (style, depth, rest) in MEMORIES.items()
    }
    texts |= {name: PRODUCT.format(name=name, m=m, p=p) for name, (m, p, _) in PRODUCTS.items()}
    for name, text in texts.items():
        (directory / f"{name}.sv").write_text(text)
    return module_synthesis.measure("garden", source_closure("garden", [directory]), {}, directory / "cache")


@pytest.fixture
def register() -> Measured:
    """The smallest design: one flip-flop."""
    top = module_synthesis.Result("one", 1, Counter(ff=1), Counter(ff=1), (), 0)
    return Measured((top,), {}, 1)


def result(design: Measured, module: str) -> module_synthesis.Result:
    return next(entry for entry in design.results if entry.module == module)


def found(design: Measured, guideline: str, device=ZU7EV) -> guidelines.Judgement:
    return next(judgement for judgement in judging.judge(design, device) if judgement.guideline == guideline)


def total(design: Measured, **amounts: int) -> Measured:
    """The design with other totals."""
    *rest, top = design.results
    return replace(design, results=(*rest, replace(top, total=Counter(amounts))))


def test_a_single_register_keeps_everything(register):
    assert [judgement for judgement in judging.judge(register, ZU7EV) if not judgement.kept] == []


SHARES = {
    "dsp": ("DSP48E2", 1382), "bram36": ("BRAM36", 249), "uram": ("URAM288", 76), "lut": ("LUT", 149_760),
    "lut_memory": ("LUT as memory", 25_440), "ff": ("flip-flops", 230_400),
}  # fmt: skip


@pytest.mark.parametrize("resource", SHARES)
def test_shares_are_allowed_up_to_the_guideline(register, resource):
    name, most = SHARES[resource]
    counted, scale = ("bram18", 2) if resource == "bram36" else (resource, 1)
    assert found(total(register, **{counted: scale * most}), name).kept
    over = found(total(register, **{counted: scale * (most + 1)}), name)
    assert (over.kept, over.found, over.limit) == (False, most + 1, most)
    assert f"{most + 1:,}, at most {most:,}" in str(over) and over.remedy in str(over)


def test_a_part_without_ultra_ram_allows_none(register):
    zu9eg = DEVICES["XCZU9EG"]
    assert "URAM288" not in [judgement.guideline for judgement in judging.judge(register, zu9eg)]
    assert not found(total(register, uram=1), "URAM288", zu9eg).kept


def test_control_sets_are_limited(register):
    limit = guidelines.most_control_sets(ZU7EV)
    assert limit == 4320
    assert found(replace(register, control_sets=limit), "control sets").kept
    assert not found(replace(register, control_sets=limit + 1), "control sets").kept


def test_loads_count_through_instances(garden):
    """63 leaves of 8 flip-flops: an enable and a reset of 504 loads each, and one control set beside that of the others."""
    enable, reset = found(garden, "loads of a clock enable"), found(garden, "loads of a reset")
    assert (enable.found, enable.where, enable.kept) == (504, "enable_q", False)
    assert (reset.found, reset.where, reset.kept) == (504, "rst_ni[0]", False)  # inverted in each leaf
    assert garden.nets["enable"].registered
    assert garden.control_sets == 2


def test_500_control_loads_are_allowed(register):
    nets = {"enable": loads.Net("e_q", True, Counter(enable=500, data=20_000))}
    assert found(replace(register, nets=nets), "loads of a clock enable").kept
    nets["enable"].loads["enable"] += 1
    assert not found(replace(register, nets=nets), "loads of a clock enable").kept


def fan(driver: str, pin: str, count: int) -> loads.Loads:
    """A net from a flip-flop or a LUT to a pin of many flip-flops."""
    first = (
        ("f", "FDRE", {"C": [1], "D": ["0"], "Q": [2]}) if driver == "FDRE" else ("l", "LUT1", {"I0": [3], "O": [2]})
    )
    rest = [(f"r{n}", "FDRE", {"C": [1], pin: [2], "Q": [10 + n]}) for n in range(count)]
    return loads.analyse(Netlist({"i": ("input", [1, 3])}, [first, *rest], {2: "wide"}), {})


@pytest.mark.parametrize(
    ("driver", "pin", "kept"),
    [("FDRE", "D", True), ("LUT1", "D", False), ("FDRE", "R", False)],
    ids=str,
)
def test_ten_thousand_loads_are_for_flip_flops_data_alone(register, driver, pin, kept):
    nets, _ = loads.whole(fan(driver, pin, 10_001))
    judgement = found(replace(register, nets=nets), "loads of a net, without flip-flops' data")
    assert judgement.kept == kept
    assert judgement.found == (0 if kept else 10_001)


def test_kinds_of_pins():
    kinds = {
        ("FDRE", "D"): "data", ("FDSE", "CE"): "enable", ("FDPE", "PRE"): "reset", ("FDRE", "C"): None, ("FDRE", "Q"): None,
        ("LUT6", "I3"): "logic", ("LUT6", "O"): None, ("CARRY4", "CI"): "logic", ("CARRY4", "CO"): None, ("MUXF7", "S"): "logic",
        ("RAMB36E2", "ADDRARDADDR"): "address", ("RAMB36E2", "WEBWE"): "address", ("RAMB18E2", "DINADIN"): "data",
        ("RAMB36E2", "DOUTADOUT"): None, ("RAMB36E2", "RSTRAMB"): "reset", ("RAMB36E2", "CLKARDCLK"): None,
        ("URAM288", "ADDR_A"): "address", ("URAM288", "BWE_B"): "address", ("URAM288", "EN_A"): "address", ("URAM288", "DOUT_B"): None,
        ("URAM288", "DIN_A"): "data", ("RAM64M8", "ADDRA"): "address", ("RAM64M8", "DIA"): "data", ("RAM64M8", "DOA"): None,
        ("RAM32X1D", "DPRA0"): "address", ("RAM32X1D", "D"): "data", ("SRL16E", "CE"): "address", ("SRL16E", "Q"): None,
        ("DSP48E2", "A"): "data", ("DSP48E2", "CEM"): "dsp", ("DSP48E2", "OPMODE"): "dsp", ("DSP48E2", "RSTP"): "reset",
        ("DSP48E2", "P"): None, ("DSP48E2", "PCOUT"): None, ("DSP48E2", "PCIN"): "data",
    }  # fmt: skip
    assert {key: loads.kind_of(*key) for key in kinds} == kinds


def test_a_net_through_a_module_is_one_net():
    """The enable goes through a module of wires and an inverter, and beside them to a flip-flop of the parent."""
    wires = loads.analyse(Netlist({"a_i": ("input", [5]), "b_o": ("output", [5])}, [], {}), {})
    assert wires.through == {("b_o", 0): ("a_i", 0)}
    cells = [
        ("e", "FDRE", {"C": [1], "D": [2], "Q": [3]}),
        ("u", "wires", {"a_i": [3], "b_o": [4]}),
        ("n", "INV", {"I": [4], "O": [6]}),
        ("f", "FDRE", {"C": [1], "D": ["0"], "CE": [3], "Q": [7]}),
        ("g", "FDRE", {"C": [1], "D": ["0"], "CE": [6], "Q": [8]}),
    ]
    model = loads.analyse(Netlist({"i": ("input", [1, 2])}, cells, {3: "e_q"}), {"wires": wires})
    nets, control_sets = loads.whole(model)
    assert nets["enable"] == loads.Net("e_q", True, Counter(enable=2))
    assert control_sets == 2
    assert loads.decode(loads.encode(model)) == model


def test_an_output_counts_inside_and_outside():
    child = Netlist(
        {"q": ("output", [3])}, [("r", "FDRE", {"C": [1], "Q": [3]}), ("l", "LUT1", {"I0": [3], "O": [4]})], {3: "r_q"}
    )
    model = loads.analyse(child, {})
    assert model.worst == {} and model.outputs["q", 0].loads == Counter(logic=1)
    cells = [("u", "child", {"q": [7]}), *(("f", "FDRE", {"C": [1], "R": [7], "Q": [n]}) for n in (10, 11))]
    nets, _ = loads.whole(loads.analyse(Netlist({}, cells, {}), {"child": model}))
    assert nets["reset"] == loads.Net("u.r_q", True, Counter(logic=1, reset=2))


@pytest.mark.parametrize("module", MEMORIES)
def test_memories_need_an_output_register(garden, module):
    style, depth, _ = MEMORIES[module]
    (memory,) = result(garden, module).memories
    assert (memory.style, memory.width, memory.depth) == (style, 16, depth)
    assert memory.registered == module.startswith("held")
    assert memory.bytewise == (module == "held_bytes")


def test_memories_without_register_are_named(garden):
    judgement = found(garden, "memories without output register")
    assert (judgement.found, judgement.kept) == (2, False)
    assert sorted(judgement.where.split(", ")) == ["1 in bare", "1 in changed"]


def test_depths_round_up_to_powers_of_two(garden):
    """1,536 words of 16 bits take two halves of 1,024 words, and so do 2,048; 64 bits show the difference."""
    assert result(garden, "held_block").memories[0].rounding == 0
    wide = memories.Memory("m", "block", 64, 1536, True, False)
    assert wide.rounding == 2  # 6 halves of 36 Kb for 3 times 512 words of 72 bits, 8 for 4
    assert replace(wide, style="ultra").rounding == 0
    # of 9 bits, a byte that is written apart has 8: 48 halves and 64, instead of 45 and 57
    assert [replace(wide, width=512, bytewise=bytewise).rounding for bytewise in (True, False)] == [16, 12]
    top = module_synthesis.Result("m", 4, Counter(), Counter(bram18=24), (), 0, (wide,))
    assert judging.need_of(Measured((top,), {}, 1))["bram36"] == 16


@pytest.mark.parametrize("module", PRODUCTS)
def test_a_slice_needs_its_three_registers(garden, module):
    assert result(garden, module).own["dsp"] == 1
    assert dict(result(garden, module).unregistered) == dict.fromkeys(PRODUCTS[module][2], 1)


def test_slices_without_register_are_named(garden):
    assert found(garden, "DSPs without P register").found == 2
    assert found(garden, "DSPs without A/B register").where == "1 in operands"


def test_instantiated_slices_have_the_registers_of_their_parameters():
    cell = ("s", "DSP48E2", {"A": [1], "B": [2], "P": [3]})
    full = {"AREG": 1, "BREG": 1, "MREG": 1, "PREG": 1}
    assert slices.missing(Netlist({}, [cell], {}, {"s": full})) == {}
    assert slices.missing(Netlist({}, [cell], {}, {"s": {**full, "MREG": 0, "BREG": 0}})) == {"A/B": 1, "M": 1}


def test_paths_at_blocks_need_a_margin(register):
    *_, top = register.results
    path = module_synthesis.path_delays.Path(2.9, 8, "data (RAM)", "r_q")
    near = replace(register, results=(replace(top, paths=(path,)),))
    judgement = found(near, "ns of a path at a RAM or DSP")
    assert (judgement.found, judgement.limit, judgement.kept) == (2.9, 2.83, False)
    fabric = replace(register, results=(replace(top, paths=(replace(path, start="a_q"),)),))
    assert found(fabric, "ns of a path").kept
    k26 = DEVICES["XCK26"]
    assert not found(fabric, "ns of a path", k26).kept  # at speed grade -2LV the same logic takes 3.78 ns
    slower = {judgement.guideline: judgement for judgement in judging.judge(fabric, k26, clock_mhz=225)}["ns of a path"]
    assert (slower.found, slower.limit, slower.kept) == (3.78, 4.44, True)
