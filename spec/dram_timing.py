"""The DRAM behind the accelerator as simulation and estimates model it: what a ZCU104 sustains, at the clock of moesaic.spec.clock."""

BEAT_BYTES = 16
"""Bytes of one beat of an AXI data channel: no port moves more per cycle."""

BYTES_PER_CYCLE = 128 / 3
"""Bytes per cycle that all ports together can move: 12.8 GB/s at 300 MHz."""

LATENCY = 60
"""Cycles from a read address to its first beat, and from the last beat of a write to its response."""
