"""The flat form of a netlist beside the models of its cells, in Icarus: the same values, known and unknown ones, at every clock edge."""

from __future__ import annotations

import random
import shutil
import subprocess

import pytest

from moesaic.errors import InternalError
from moesaic.sim.measurements.netlist_run.cells import cell_models
from moesaic.sim.measurements.netlist_run.flat_netlist import flattened, verilog

needs_icarus = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="iverilog is missing: apt-get install iverilog"
)

INPUTS, CYCLES = 24, 400


def cell(kind: str, name: str, parameters: dict[str, str], pins: dict[str, str]) -> str:
    """A cell as Yosys writes it."""
    given = ",\n".join(f"    .{key}({value})" for key, value in parameters.items())
    joined = ",\n".join(f"    .{key}({value})" for key, value in pins.items())
    return f"  {kind} #(\n{given}\n  ) {name} (\n{joined}\n  );\n" if given else f"  {kind} {name} (\n{joined}\n  );\n"


def random_cells(draw: random.Random) -> str:
    """Verilog of `top` with two instances of a module of random cells, of which every kind is there; a bit of the output for each cell."""
    wires, cells = [f"in_i[{n}]" for n in range(INPUTS)], []
    registers = [f"q{n}" for n in range(150)]
    read = wires + registers

    def some(count: int) -> list[str]:
        return draw.sample(read, count)

    def made(name: str) -> str:
        read.append(name)
        return name

    for n in range(60):
        inputs = 1 + n % 6
        table = f"{1 << inputs}'h{draw.getrandbits(1 << inputs):x}"
        pins = {f"I{i}": net for i, net in enumerate(some(inputs))}
        cells.append(cell(f"LUT{inputs}", f"lut{n}", {"INIT": table}, {**pins, "O": made(f"l{n}")}))
    for n in range(12):
        kind = ("MUXF7", "MUXF8", "INV")[n % 3]
        pins = dict(zip(("I",) if kind == "INV" else ("I0", "I1", "S"), some(1 if kind == "INV" else 3), strict=True))
        cells.append(cell(kind, f"mux{n}", {}, {**pins, "O": made(f"m{n}")}))
    for n in range(8):
        s, di = (f"{{ {', '.join(some(4))} }}" for _ in range(2))
        pins = {
            "S": s,
            "DI": di,
            "CI": draw.choice(["1'h0", *some(3)]),
            "CYINIT": draw.choice(["1'h0", "1'h1", *some(1)]),
        }
        sums, carries = ([made(f"{letter}{n}_{i}") for i in range(4)] for letter in "sc")
        outputs = {"O": f"{{ {', '.join(sums)} }}", "CO": f"{{ {', '.join(carries)} }}"}
        cells.append(cell("CARRY4", f"carry{n}", {}, {**pins, **outputs}))
    # Unknown values would spread everywhere if controls and all data came from registers.
    controls = [
        (draw.choice(["1'h1", *draw.sample(wires, 2)]), draw.choice(["1'h0", *draw.sample(wires, 2)])) for _ in range(6)
    ]
    for n, name in enumerate(registers):
        (enable, reset), kind = draw.choice(controls), draw.choice(("FDRE", "FDSE", "SRL16E"))
        pins = {"CE": enable, "D": draw.choice(some(1) + draw.sample(wires, 2)), "Q": name}
        if kind == "SRL16E":
            address = [f"1'h{bit}" for bit in draw.choice(("0000", "1010", "0110", "1111"))]
            address = draw.sample(wires, 4) if n % 10 == 0 else address
            pins |= {"CLK": "clk_i", **{f"A{i}": net for i, net in enumerate(address)}}
            cells.append(cell(kind, f"srl{n}", {"INIT": "1'h0", "IS_CLK_INVERTED": "1'h0"}, pins))
        else:
            pins |= {"C": "clk_i", "R" if kind == "FDRE" else "S": reset}
            cells.append(cell(kind, f"ff{n}", {"INIT": "1'hx"}, pins))
    outputs = read[INPUTS:]
    declarations = "".join(f"  wire {name};\n" for name in outputs)
    unit = (
        f"module unit(clk_i, in_i, out_o);\n  input clk_i;\n  wire clk_i;\n  input [{INPUTS - 1}:0] in_i;\n"
        f"  output [{len(outputs) - 1}:0] out_o;\n{declarations}{''.join(cells)}"
        f"  assign out_o = {{ {', '.join(outputs)} }};\nendmodule\n"
    )
    bits = len(outputs)
    top = (
        f"module top(clk_i, in_i, out_o);\n  input clk_i;\n  input [{INPUTS - 1}:0] in_i;\n  output [{2 * bits - 1}:0] out_o;\n"
        + cell("unit", "u_one", {}, {"clk_i": "clk_i", "in_i": "in_i", "out_o": f"out_o[{bits - 1}:0]"})
        + cell(
            "unit",
            "u_other",
            {},
            {"clk_i": "clk_i", "in_i": "{ in_i[0], in_i[23:1] }", "out_o": f"out_o[{2 * bits - 1}:{bits}]"},
        )
        + "endmodule\n"
    )
    return unit + top


def bench(outputs: int, seed: int) -> str:
    """Inputs of 0, 1 and now and then x; a line for each cycle in which the outputs differ, and how many bits were 0, 1 and x."""
    return f"""module bench;
  reg clk = 0, judged = 0;
  reg [{INPUTS - 1}:0] in;
  wire [{outputs - 1}:0] cells_out, flat_out;
  integer cycle, bit_index, zeros = 0, ones = 0, unknown = 0, draw = {seed};
  cells u_cells (.clk_i(clk), .in_i(in), .out_o(cells_out));
  top u_flat (.clk_i(clk), .in_i(in), .out_o(flat_out));
  initial begin
    for (cycle = 0; cycle < {CYCLES}; cycle = cycle + 1) begin
      for (bit_index = 0; bit_index < {INPUTS}; bit_index = bit_index + 1)
        case ($random(draw) & 63)
          0: in[bit_index] = 1'bx;
          1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15: in[bit_index] = $random(draw);
        endcase
      #1 clk = 1;
      #1 clk = 0;
      #1 if (cells_out !== flat_out) $display("DIFFERENT cycle %0d\\n%b\\n%b", cycle, cells_out, flat_out);
      for (bit_index = 0; bit_index < {outputs}; bit_index = bit_index + 1)
        if (flat_out[bit_index] === 1'b0) zeros = zeros + 1;
        else if (flat_out[bit_index] === 1'b1) ones = ones + 1;
        else unknown = unknown + 1;
    end
    $display("%0d %0d %0d", zeros, ones, unknown);
  end
endmodule
"""


def simulated(directory, *sources: str) -> list[str]:
    """What Icarus prints for the module `bench` of these sources."""
    path = directory / "sources.sv"
    path.write_text("\n".join(sources), encoding="utf-8")
    subprocess.run(["iverilog", "-g2012", "-s", "bench", "-o", "bench.vvp", path.name], cwd=directory, check=True)
    run = subprocess.run(["vvp", "bench.vvp"], cwd=directory, check=True, capture_output=True, text=True)
    return run.stdout.splitlines()


@needs_icarus
@pytest.mark.parametrize("seed", range(4), ids=lambda seed: f"seed{seed}")
def test_the_flat_form_has_the_values_of_the_cells(seed, tmp_path):
    netlist = random_cells(random.Random(seed))
    outputs = 2 * (netlist.count("  wire ") - 1)
    flat = flattened(netlist, "top", "bench")
    models, cells = cell_models(netlist), netlist.replace("module top(", "module cells(")
    *different, counts = simulated(tmp_path, cells, models, flat, bench(outputs, seed))
    assert different == []
    assert min(map(int, counts.split())) > 0.1 * outputs * CYCLES, "values of one kind are rare"


HANDSHAKE = """module unit(clk_i, d_i);
  input clk_i;
  input [1:0] d_i;
  wire [1:0] full_valid_q;
  wire other_q;
""" + "".join(
    cell("FDRE", f"ff{n}", {"INIT": "1'hx"}, {"C": "clk_i", "CE": "1'h1", "D": f"d_i[{n % 2}]", "R": "1'h0", "Q": q})
    for n, q in enumerate(("full_valid_q[0]", "full_valid_q[1]", "other_q"))
)
TOP = "module top(clk_i, d_i);\n  input clk_i;\n  input [1:0] d_i;\n" + cell(
    "unit", "u_unit", {}, {"clk_i": "clk_i", "d_i": "d_i"}
)
HANDSHAKE += f"endmodule\n{TOP}endmodule\n"


@needs_icarus
def test_an_unknown_handshake_is_printed_once_by_its_name_from_when_on_it_is_judged(tmp_path):
    stimulus = """module bench;
      reg clk = 0, judged = 0;
      reg [1:0] d = 2'bxx;
      top u_top (.clk_i(clk), .d_i(d));
      always #1 clk = !clk;
      initial begin
        #4 d = 2'b01;
        #4 judged = 1;
        #4 d = 2'bx1;
        #12 d = 2'b11;
        #4 d = 2'bxx;
        #4 $finish;
      end
    endmodule
    """
    lines = simulated(tmp_path, flattened(HANDSHAKE, "top", "bench"), stimulus)
    assert lines == ["UNKNOWN u_unit.full_valid_q[1]", "UNKNOWN u_unit.full_valid_q[0]"]


def test_cells_that_are_not_taken_apart_keep_parameters_and_pins():
    module = {
        "ports": {"clk_i": {"direction": "input", "bits": [2]}},
        "cells": {
            "a.b[0]": {
                "type": "RAMB18E2",
                "parameters": {"WRITE_MODE_A": "READ_FIRST", "MODE": "01 ", "DOA_REG": "00", "INIT_A": "xx"},
                "connections": {"CLKARDCLK": [2], "DINADIN": [3, "0", "x"], "DINBDIN": []},
            }
        },
        "netnames": {"clk_i": {"bits": [2]}},
    }
    text = verilog(module, "top", "bench")
    assert '#(.WRITE_MODE_A("READ_FIRST"), .MODE("01"), .DOA_REG(2\'b00), .INIT_A(2\'bxx)) \\a.b[0]  (' in text
    assert ".CLKARDCLK({nets0.n2}), .DINADIN({1'bx, 1'b0, nets0.n3}));" in text
    assert "probe" not in text


def test_inverted_pins_are_refused():
    pins = {"C": [2], "CE": ["1"], "D": [3], "R": ["0"], "Q": [4]}
    flip_flop = {"type": "FDRE", "parameters": {"INIT": "x", "IS_D_INVERTED": "1"}, "connections": pins}
    with pytest.raises(InternalError, match="ff with IS_D_INVERTED"):
        verilog({"ports": {}, "cells": {"ff": flip_flop}, "netnames": {}}, "top", "bench")
