# The clocks themselves come with the processing system and the clocking wizard. Routing gets a tenth of a nanosecond less than the
# period, so that what the wizard's jitter model leaves out does not cost the timing.
set_clock_uncertainty -setup 0.100 [get_clocks -of_objects [get_pins system_i/clock_wizard/clk_out1]]
