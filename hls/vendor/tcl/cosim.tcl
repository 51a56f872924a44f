# Synthesis, then C/RTL co-simulation with the first golden vector: the memory ports are as deep as the test bench's DRAM.
source [file join [file dirname [info script]] hls_project.tcl]
add_test_bench
if {[catch {
  csynth_design
  cosim_design -rtl verilog -trace_level none -argv "[file join $root vectors] 1"
} message]} {
  puts "cosim failed: $message"
  exit 1
}
exit 0
