# C simulation: the test bench with every golden vector, compiled by the vendor's compiler and types.
source [file join [file dirname [info script]] hls_project.tcl]
add_test_bench
if {[catch {csim_design -clean -argv [file join $root vectors]} message]} {
  puts "csim failed: $message"
  exit 1
}
exit 0
