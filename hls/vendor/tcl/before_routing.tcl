# Takes back what before_placement.tcl added.
set clock [get_clocks -quiet -of_objects [get_pins -quiet system_i/clock_wizard/clk_out1]]
if {[llength $clock] != 1} {
  error "before_routing.tcl: [llength $clock] clocks at system_i/clock_wizard/clk_out1 where 1 belongs"
}
set_clock_uncertainty -setup 0 $clock
