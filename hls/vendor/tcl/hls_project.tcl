# The Vitis HLS project: opened afresh by csim.tcl, csynth.tcl, cosim.tcl and export.tcl, which source this file.
# settings.tcl beside it, written by `moesaic vitis`, sets part, clock_period (ns) and clock_uncertainty (ns).
set root [file normalize [file dirname [info script]]]
cd $root
source [file join $root settings.tcl]

# ap_uint beats in the sources and in the test bench alike: __SYNTHESIS__ is not defined in C simulation, and the types of the
# ports must be the same there.
set flags "-std=c++14 -DMOESAIC_AP_TYPES -I[file join $root src]"

open_project -reset kernel_project
set_top kernel
add_files [file join $root src kernel.cpp] -cflags $flags
open_solution -reset -flow_target vivado solution
set_part $part
create_clock -period $clock_period -name default
set_clock_uncertainty $clock_uncertainty
# Only loops with a PIPELINE pragma are pipelined: each of them says its II and why.
config_compile -pipeline_loops 0
config_interface -m_axi_addr64=true

# Only simulation needs the test bench: a project that is exported for Vivado has none.
proc add_test_bench {} {
  global root flags
  add_files -tb [file join $root tb testbench.cpp] -cflags "$flags -I[file join $root tb]"
}
