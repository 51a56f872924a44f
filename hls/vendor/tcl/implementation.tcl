# Synthesis, implementation, bitstream and reports.
set_property strategy $synthesis_strategy [get_runs synth_1]
set_property strategy $implementation_strategy [get_runs impl_1]
set_property STEPS.PLACE_DESIGN.TCL.PRE [file join $root before_placement.tcl] [get_runs impl_1]
set_property STEPS.ROUTE_DESIGN.TCL.PRE [file join $root before_routing.tcl] [get_runs impl_1]
launch_runs impl_1 -to_step write_bitstream -jobs $jobs
wait_on_run impl_1
if {[get_property PROGRESS [get_runs impl_1]] ne "100%"} {
  error "implementation stopped at [get_property STATUS [get_runs impl_1]]"
}

proc write_text {path text} {
  set file [open $path w]
  puts $file $text
  close $file
}

set results [file join $root results]
file mkdir $results
open_run impl_1
report_timing_summary -max_paths 10 -report_unconstrained -file [file join $results timing_summary.rpt]
report_utilization -file [file join $results utilization.rpt]
report_utilization -hierarchical -hierarchical_depth 4 -file [file join $results utilization_hierarchical.rpt]
report_power -file [file join $results power.rpt]
report_drc -file [file join $results drc.rpt]
# What helps to close timing. None of it decides anything: a version of Vivado that has not the one or the other still gives a bitstream.
foreach {name command} {
  failfast {xilinx::designutils::report_failfast -detailed_reports impl}
  qor_assessment report_qor_assessment
  control_sets {report_control_sets -verbose}
  high_fanout_nets {report_high_fanout_nets -timing -load_types -max_nets 100}
} {
  set report [file join $results $name.rpt]
  if {[catch {{*}$command -file $report} message]} {
    write_text $report "$command: $message"
  }
}
write_text [file join $results clock_hz.txt] $clock_hz
write_text [file join $results vivado_version.txt] [version -short]

set directory [get_property DIRECTORY [get_runs impl_1]]
file copy -force [file join $directory system_wrapper.bit] [file join $results accel.bit]
# The hardware description that PYNQ reads lies beside the block design's generated products.
set handoff [glob [file join $root accelerator_system accelerator_system.gen sources_1 bd system hw_handoff system.hwh]]
file copy -force [lindex $handoff 0] [file join $results accel.hwh]
