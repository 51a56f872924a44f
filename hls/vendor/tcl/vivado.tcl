# From RTL to bitstream: vivado -mode batch -source vivado.tcl
# Results: results/accel.bit, results/accel.hwh, results/*.rpt
set root [file normalize [file dirname [info script]]]
source [file join $root settings.tcl]
if {[catch {
  source [file join $root board_files.tcl]
  source [file join $root package_ip.tcl]
  source [file join $root block_design.tcl]
  source [file join $root implementation.tcl]
} message]} {
  puts "ERROR: $message"
  puts $::errorInfo
  exit 1
}
exit 0
