"""Open synthesis of the accelerator with Yosys: resources and logic depth of every module and of the whole machine.

The machine is elaborated once and split into its modules (`elaboration`). Each distinct module is synthesised by itself, its
submodules as black boxes, and the netlist is kept under a hash of what went in (`netlist`); the whole is the sum over the
hierarchy (`counting`). Longest paths run across module boundaries (`path_delays`). Nothing here has seen place and route.
"""
