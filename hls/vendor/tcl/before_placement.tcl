# Placement and physical optimisation get a tenth of a nanosecond less than the period, so that routing has it to spare.
# before_routing.tcl takes it back, as AMD UG949, Overconstraining the Design, says: no report is made with it.
set clock [get_clocks -quiet -of_objects [get_pins -quiet system_i/clock_wizard/clk_out1]]
if {[llength $clock] != 1} {
  error "before_placement.tcl: [llength $clock] clocks at system_i/clock_wizard/clk_out1 where 1 belongs"
}
set_clock_uncertainty -setup 0.100 $clock
