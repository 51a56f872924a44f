"""The clock that the accelerator is designed for.

An assumption until Vivado has placed and routed the design: vendor flows ask for it, and wherever cycles are shown as milliseconds
they are cycles of this clock.
"""

CLOCK_MHZ = 300
CLOCK_HZ = CLOCK_MHZ * 1_000_000
