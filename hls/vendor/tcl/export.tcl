# Synthesis, then export as an IP for Vivado: kernel_project/solution/impl/ip, which `moesaic bitstream --engine hls` takes.
source [file join [file dirname [info script]] hls_project.tcl]
if {[catch {
  csynth_design
  export_design -format ip_catalog -rtl verilog -vendor moesaic -library hls -ipname kernel -version 1.0 -display_name "moesaic kernel"
} message]} {
  puts "export failed: $message"
  exit 1
}
exit 0
