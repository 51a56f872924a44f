"""Open synthesis of the accelerator with Yosys: resources and logic depth of every module and of the whole machine.

The machine is elaborated once and split into its modules (`elaboration`). Each distinct module is synthesised on its own, with its
submodules as black boxes, and its netlist is kept under a hash of the inputs (`netlist`); the whole machine is the sum over the
hierarchy (`counting`). Longest paths are followed across module boundaries (`path_delays`). None of this involves place and route.
"""
