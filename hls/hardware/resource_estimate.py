"""Estimates how much of its device a configuration needs, and refuses a configuration that the device does not hold.

The counts of DSPs, BRAMs and URAMs follow from the structure of the machine; LUTs, and those of them that are memory, are fitted formulas
per unit. For the shipped configurations, `make resources` counts as many DSPs and BRAMs, one URAM less where it puts a narrow slice of the
weight memory, two blocks deep, into one, and LUTs within 6 %, as memory within 2 %. No figure comes from place and route.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from moesaic.errors import UserError
from moesaic.hls.hardware.devices import Device, device_of, has_ultra
from moesaic.hls.hardware.guidelines import Judgement, judge_shares
from moesaic.spec.configuration import ULTRA_BANKS, HardwareConfiguration


@dataclass(frozen=True)
class Resources:
    """Numbers of DSP48E2 slices, BRAM36 blocks, URAM288 blocks, LUTs, and those of the LUTs that are memories or shift registers."""

    dsp: int
    bram36: int
    uram: int
    lut: int
    lut_memory: int

    def to_dict(self) -> dict[str, int]:
        """Resource name to number."""
        return asdict(self)


BRAM_DEPTH, URAM_DEPTH, URAM_BITS = 512, 4096, 72
"""Words of a block as wide as it can be, and their bits: nine bytes, of which the weight memory uses all in UltraRAM."""
_RAM_DATA_BITS = 64
"""Of the 72, those that the activation memory uses, and a weight memory in block RAM: their words are 8 bytes a block."""
_QUEUE_DEPTH = 1024


def estimate_resources(configuration: HardwareConfiguration) -> Resources:
    """Estimated resources of a configuration before place and route."""
    c = configuration
    lut, lut_memory = (round(sum(terms(c).values())) for terms in (_lut_terms, _lut_memory_terms))
    return Resources(_dsp(c), _bram36(c), _uram(c), lut, lut_memory)


def estimate_resources_of_two_units(configuration: HardwareConfiguration) -> Resources:
    """Estimated resources of a machine with two of this configuration's arrays, each with its own drain, that share all the rest."""
    c = configuration
    one, lanes = estimate_resources(c), _lanes(c)
    array_lut, array_memory = (
        sum(term for unit, term in terms(c).items() if unit in ("array", "skew", "columns", "lanes", "operands"))
        for terms in (_lut_terms, _lut_memory_terms)
    )
    return Resources(
        dsp=one.dsp + -(-c.macs_per_cycle // 2) + _requantisers(c),
        bram36=one.bram36 + -(-lanes // 4),
        uram=one.uram,
        lut=one.lut + round(array_lut),
        lut_memory=one.lut_memory + round(array_memory),
    )


def _lanes(c: HardwareConfiguration) -> int:
    """Results drained per cycle, each with its own table look-up; also the scores that softmax takes per cycle."""
    return c.act_ports * c.tile_columns


def _requantisers(c: HardwareConfiguration) -> int:
    """Two for each column, however many rows are drained per cycle: weighed rows pass through both."""
    return 2 * c.tile_columns


def _act_banks(c: HardwareConfiguration) -> int:
    return c.act_banks * (2 if c.shared_bytes else 1) + (ULTRA_BANKS if c.act_ultra_bytes else 0)


def _dsp(c: HardwareConfiguration) -> int:
    array = -(-c.macs_per_cycle // 2)
    operand_fetch, result_address, norm_scale, route = 1, 1, 2, 1
    return array + _requantisers(c) + 3 * c.norm_lanes + operand_fetch + result_address + norm_scale + route


def _bram36(c: HardwareConfiguration) -> int:
    block_bytes = c.act_bytes - c.act_ultra_bytes
    depths = [part // (c.act_word_bytes * c.act_banks) for part in (c.shared_bytes, block_bytes - c.shared_bytes)]
    blocks = sum(-(-power_of_two(depth) // BRAM_DEPTH) for depth in depths)
    act = c.act_banks * (8 * c.act_word_bytes // _RAM_DATA_BITS) * blocks
    words = 0 if has_ultra(c) else power_of_two(c.weight_bytes // c.weight_word_bytes)
    weights = -(-8 * c.weight_word_bytes // _RAM_DATA_BITS) * -(-words // BRAM_DEPTH)
    queues = -(-c.experts * c.queue_tokens // _QUEUE_DEPTH)
    rows = c.row_entries // c.act_ports
    # in half blocks: 16 bits per row, 1,024 deep; 22 bits per row, 512 deep; one table per two lanes
    halves = c.act_ports * (-(-rows // 1024) + -(-rows // BRAM_DEPTH)) + _lanes(c) // 2
    return act + weights + queues + -(-halves // 2)


def power_of_two(depth: int) -> int:
    """The power of two that a depth is rounded up to, as Vivado may do for block RAM; 0 for 0."""
    return 1 << (depth - 1).bit_length() if depth else 0


def _uram(c: HardwareConfiguration) -> int:
    weight_words, ultra_words = c.weight_bytes // c.weight_word_bytes, c.act_ultra_bytes // c.act_word_bytes
    weights = -(-8 * c.weight_word_bytes // URAM_BITS) * -(-weight_words // URAM_DEPTH)
    return weights * has_ultra(c) + ULTRA_BANKS * (8 * c.act_word_bytes // _RAM_DATA_BITS) * -(
        -ultra_words // (ULTRA_BANKS * URAM_DEPTH)
    )


def _lut_terms(c: HardwareConfiguration) -> dict[str, float]:
    """One term for each unit that scales, fitted to the synthesis of the shipped configurations, and one for everything else."""
    lanes, word = _lanes(c), c.weight_word_bytes
    return {
        "array": 48.5 * c.tile_rows * c.tile_columns,  # accumulators, two per cell, and their way out
        "skew": 5.3 * c.tile_rows * lanes,
        "columns": 191 * _requantisers(c),
        "lanes": 609 * lanes,  # tables, row maxima, results, softmax
        "operands": 785 * c.tile_rows,
        "layer_norm": 785 * c.norm_lanes,
        "load": c.load_ports * (8 * word + 800),
        "weights": 29.4 * word,
        "activations": _act_lut(c),
        "queues": 27 * c.instruction_queue,
        "rest": 21_300,
    }


def _lut_memory_terms(c: HardwareConfiguration) -> dict[str, float]:
    """As `_lut_terms`, of memories and shift registers alone. A LUT of LUT RAM keeps 64 bits, or, 32 words deep at most, 32."""
    return {
        "skew": 8 * (c.tile_depth - 1) * (c.tile_rows + c.tile_columns) - 4 * c.tile_columns,
        "columns": 74 * c.tile_columns,  # blocks of parameters, requantise
        "lanes": 46 * _lanes(c),  # queues of rows and of values, tables
        "operands": 600 * c.tile_rows,
        "load": c.load_ports * (5 * c.weight_word_bytes + 50),
        "instructions": 1_480 * -(-c.instruction_queue // 32),
        "results": 13 * c.tile_columns + 400 * c.act_ports,
        "rest": 2_900,  # of it layer norm 2,100
    }


def _act_lut(c: HardwareConfiguration) -> float:
    """Multiplexers of the activation memory, four words a LUT for each bit, and the arbitration among its clients."""
    reads, writes = 3 * c.act_ports + 2, c.act_ports + 2
    shared = c.act_banks if c.shared_bytes else 0
    parts = 1 + bool(shared) + bool(c.act_ultra_bytes)
    answer = (2 if shared else 1) * -(-(c.act_banks - 1) // 3) + (parts > 1)
    writer = _act_banks(c) * -(-(writes - 1) // 3) + shared
    return 8 * c.act_word_bytes * (reads * answer + writer) + 19 * (reads + writes) * _act_banks(c)


def judge(configuration: HardwareConfiguration, need: Resources) -> list[Judgement]:
    """The need held against the guidelines for the configuration's part. Raises UserError if the part is unknown."""
    return judge_shares(need.to_dict(), device_of(configuration))


def exceeded(need: Resources, device: Device) -> list[str]:
    """Names of the resources of which the device has less than needed, guidelines aside."""
    return [name for name, amount in need.to_dict().items() if amount > getattr(device, name)]


def check_fit(configuration: HardwareConfiguration) -> Resources:
    """The estimated resources of a configuration that its part holds, whether or not it is inside the guidelines.

    Raises UserError if the part is unknown, or if it has less of a resource than needed, with its name and both amounts.
    """
    device = device_of(configuration)
    need = estimate_resources(configuration)
    for name in exceeded(need, device):
        raise UserError(
            f"configuration {configuration.name} does not fit {configuration.part}: it needs about"
            f" {getattr(need, name)} {name}, the part has {getattr(device, name)}; reduce the array or the memories"
        )
    return need
