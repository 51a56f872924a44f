"""What Yosys makes of the RTL runs: the whole accelerator as it reads it, in four states, and single modules as it synthesises them.

`netlists` makes Verilog of either. `simulation` compiles the accelerator with models of the cells (`cells`) and with probes (`probes`)
of its handshakes for Icarus Verilog behind rtl/netlist_bench.sv, `network_run` compares a whole network with the reference machine,
and `module_netlist` puts a netlist into the test bench of its RTL.
"""
