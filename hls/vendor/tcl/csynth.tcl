# Synthesis to RTL; reports in kernel_project/solution/syn/report.
source [file join [file dirname [info script]] hls_project.tcl]
if {[catch {csynth_design} message]} {
  puts "csynth failed: $message"
  exit 1
}
exit 0
