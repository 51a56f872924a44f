# Synthesis, implementation, bitstream and reports.
set_property strategy $synthesis_strategy [get_runs synth_1]
set_property strategy $implementation_strategy [get_runs impl_1]
launch_runs impl_1 -to_step write_bitstream -jobs $jobs
wait_on_run impl_1
if {[get_property PROGRESS [get_runs impl_1]] ne "100%"} {
  error "implementation stopped at [get_property STATUS [get_runs impl_1]]"
}

set results [file join $root results]
file mkdir $results
open_run impl_1
report_timing_summary -max_paths 10 -report_unconstrained -file [file join $results timing_summary.rpt]
report_utilization -file [file join $results utilization.rpt]
report_utilization -hierarchical -hierarchical_depth 4 -file [file join $results utilization_hierarchical.rpt]
report_power -file [file join $results power.rpt]
report_drc -file [file join $results drc.rpt]

set directory [get_property DIRECTORY [get_runs impl_1]]
file copy -force [file join $directory system_wrapper.bit] [file join $results accel.bit]
# The hardware description that PYNQ reads lies beside the block design's generated products.
set handoff [glob [file join $root accelerator_system accelerator_system.gen sources_1 bd system hw_handoff system.hwh]]
file copy -force [lindex $handoff 0] [file join $results accel.hwh]
set version [open [file join $results vivado_version.txt] w]
puts $version [version -short]
close $version
