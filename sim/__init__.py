"""Machines without a board (compiled C++, RTL under Verilator, a DRAM model), parts shared by test benches, and measurements."""
