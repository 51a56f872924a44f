"""The generated files are what the tables say, and the tables are fit to be generated from."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic import installation
from moesaic.errors import UserError
from moesaic.hls.commands.tables import TablesCommand
from moesaic.hls.hardware.generated_files import cpp_configuration
from moesaic.hls.hardware.table_files import TABLE_FILES
from moesaic.spec import registers
from moesaic.spec.arithmetic import EXP2_TABLE
from moesaic.spec.configuration import load_configuration
from moesaic.spec.isa import (
    HEADER,
    INSTRUCTION_BYTES,
    INSTRUCTIONS,
    SEMAPHORES,
    Unit,
    decode,
    pack,
    semaphore,
    signals_of,
    waits_of,
)

ROOT = Path(__file__).resolve().parents[2]

CPP_KEYWORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl const
    constexpr const_cast continue decltype default delete do double dynamic_cast else enum explicit export extern false
    float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private
    protected public register reinterpret_cast return short signed sizeof static static_assert static_cast struct switch
    template this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t
    while xor xor_eq
"""
SYSTEMVERILOG_KEYWORDS = """
    accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind bins
    binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config const
    constraint context continue cover covergroup coverpoint cross deassign default defparam design disable dist do edge
    else end endcase endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface endmodule
    endpackage endprimitive endprogram endproperty endsequence endspecify endtable endtask enum event eventually expect
    export extends extern final first_match for force foreach forever fork forkjoin function generate genvar global
    highz0 highz1 if iff ifnone ignore_bins illegal_bins implements implies import incdir include initial inout input
    inside instance int integer interconnect interface intersect join join_any join_none large let liblist library local
    localparam logic longint macromodule matches medium modport module nand negedge nettype new nexttime nmos nor
    noshowcancelled not notif0 notif1 null or output package packed parameter pmos posedge primitive priority program
    property protected pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase
    randsequence rcmos real realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1
    s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled signed small
    soft solve specify specparam static string strong strong0 strong1 struct super supply0 supply1 sync_accept_on
    sync_reject_on table tagged task this throughout time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1
    triand trior trireg type typedef union unique unique0 unsigned until until_with untyped use uwire var vectored
    virtual void wait wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
"""
BY_NAME = {instruction.name: instruction for instruction in INSTRUCTIONS}


@pytest.mark.parametrize("name", TABLE_FILES)
def test_generated_file_is_current(name):
    assert (ROOT / name).read_text() == TABLE_FILES[name](), f"{name} is stale; write it with: make tables"


def test_the_command_writes_every_file_of_a_checkout_and_nothing_elsewhere(tmp_path, monkeypatch):
    package = tmp_path / "moesaic"
    (package / "spec").mkdir(parents=True)
    monkeypatch.setattr(installation, "_PACKAGE", package)
    with pytest.raises(UserError, match="not a checkout"):
        TablesCommand.run(Namespace())
    assert not list(package.joinpath("spec").iterdir())
    (package / "spec").rmdir()
    assert TablesCommand.run(Namespace()) == 0
    assert {name: (tmp_path / name).read_text() for name in TABLE_FILES} == {
        n: text() for n, text in TABLE_FILES.items()
    }


def test_names_are_no_keywords():
    names = {field.name for instruction in INSTRUCTIONS for field in HEADER + instruction.fields}
    names |= {instruction.name for instruction in INSTRUCTIONS if instruction.fields}
    assert len(names) > 40
    assert not names & set(CPP_KEYWORDS.split())
    assert not names & set(SYSTEMVERILOG_KEYWORDS.split())


@pytest.mark.parametrize("name", BY_NAME)
def test_fields_do_not_overlap(name):
    used: dict[int, str] = {}
    names = set()
    for field in HEADER + BY_NAME[name].fields:
        assert field.name not in names
        names.add(field.name)
        assert field.width > 0 and field.low >= 0 and field.low + field.width <= 32, field.name
        assert 0 <= field.word < INSTRUCTION_BYTES // 4, field.name
        for bit in range(field.low, field.low + field.width):
            assert used.setdefault(32 * field.word + bit, field.name) == field.name
    assert len(used) == sum(field.width for field in HEADER + BY_NAME[name].fields)


def test_opcodes_and_registers_are_distinct():
    assert len({instruction.opcode for instruction in INSTRUCTIONS}) == len(INSTRUCTIONS)
    offsets = [register.offset for register in registers.REGISTERS]
    assert len(set(offsets)) == len(offsets)
    assert all(offset % 4 == 0 and offset < registers.REGISTER_FILE_BYTES for offset in offsets)


def test_every_semaphore_has_one_producer_and_one_consumer():
    numbers = [semaphore(producer, consumer) for producer, consumer in itertools.product(Unit, Unit)]
    assert sorted(numbers) == list(range(SEMAPHORES))
    for masks in ([waits_of(unit) for unit in Unit], [signals_of(unit) for unit in Unit]):
        assert sum(masks) == (1 << SEMAPHORES) - 1
    for producer, consumer in itertools.product(Unit, Unit):
        assert waits_of(consumer) & signals_of(producer) == 1 << semaphore(producer, consumer)


@st.composite
def instructions(draw):
    name = draw(st.sampled_from(sorted(BY_NAME)))
    fields = [field for field in HEADER + BY_NAME[name].fields if field.name != "opcode"]
    values = {}
    for field in fields:
        top = (1 << field.width) - 1
        values[field.name] = draw(st.one_of(st.sampled_from([0, 1, top]), st.integers(0, top)))
    return name, values


@given(instructions())
def test_pack_and_decode_are_inverse(instruction):
    name, values = instruction
    code = pack(name, **values)
    assert len(code) == INSTRUCTION_BYTES
    assert decode(code) == (name, {"opcode": BY_NAME[name].opcode, **values})


def test_pack_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"matmul\.rows = 65536 does not fit 16 bits"):
        pack("matmul", rows=1 << 16)
    with pytest.raises(ValueError, match="has no field height"):
        pack("matmul", height=1)
    assert decode(b"\xff" + bytes(63)) is None


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """A program that prints the fields of the instruction on its standard input, as isa.hpp decodes them, and constants."""
    lines = ['#include "isa.hpp"', '#include "configuration.hpp"', "#include <cstdio>", "using namespace moesaic;"]
    lines += ["int main() {", "  uint32_t words[INSTRUCTION_WORDS];"]
    lines += ["  if (std::fread(words, 4, INSTRUCTION_WORDS, stdin) != INSTRUCTION_WORDS) return 1;"]
    lines += ['  std::printf("{");', "  switch (decode_header(words).opcode) {"]
    for instruction in INSTRUCTIONS:
        struct = instruction.name if instruction.fields else "header"
        lines += [
            f"    case OPCODE_{instruction.name.upper()}: {{",
            f"      const auto fields = decode_{struct}(words);",
        ]
        for field in HEADER + instruction.fields:
            lines.append(f'      std::printf("\\"{field.name}\\": %u, ", fields.{field.name});')
        lines += ["      break;", "    }"]
    lines += ["  }", '  std::printf("\\"-\\": [");']
    lines.append(f'  for (int i = 0; i < {len(EXP2_TABLE)}; i++) std::printf("%u, ", EXP2_TABLE[i]);')
    lines += ['  std::printf("%d, %u]}", COUNTERS, REG_COUNTER_WRITE_BEATS);', "}", ""]
    directory = tmp_path_factory.mktemp("decoder")
    (directory / "decoder.cpp").write_text("\n".join(lines))
    (directory / "configuration.hpp").write_text(cpp_configuration(load_configuration("tiny")))
    shutil.copy(ROOT / "hls" / "hardware" / "cpp" / "isa.hpp", directory)
    warnings = ["-std=c++14", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["g++", *warnings, "decoder.cpp", "-o", "decoder"], cwd=directory, check=True)
    return directory / "decoder"


@pytest.mark.parametrize("seed", range(4), ids=lambda seed: f"seed{seed}")
@pytest.mark.parametrize("name", BY_NAME)
def test_cpp_decodes_as_python_does(decoder, name, seed):
    rng = np.random.default_rng(seed)
    fields = HEADER + BY_NAME[name].fields
    values = {f.name: int(rng.integers(0, 1 << f.width)) for f in fields if f.name != "opcode"}
    code = pack(name, **values)
    output = subprocess.run([decoder], input=code, capture_output=True, check=True).stdout
    found = json.loads(output)
    constants = found.pop("-")
    assert found == {"opcode": BY_NAME[name].opcode, **values}
    assert constants[:256] == EXP2_TABLE.tolist()
    assert constants[256:] == [len(registers.COUNTERS), registers.BY_NAME["COUNTER_WRITE_BEATS"].offset]
