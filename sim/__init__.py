"""Machines without a board: compiled C++, RTL under Verilator, a DRAM model, and the parts that test benches share."""
