"""The clock that the accelerator is designed for, where no board says another (moesaic.spec.board.clock_mhz).

An assumption until Vivado has placed and routed the design: vendor flows request this clock, and wherever cycles are shown as
milliseconds, they are cycles of this clock.
"""

CLOCK_MHZ = 300
CLOCK_HZ = CLOCK_MHZ * 1_000_000
