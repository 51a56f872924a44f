# Beside what the blocks bring. The clocks themselves come with the processing system and the clocking wizard.
# The interrupt goes from the accelerator's clock to the controller's synchroniser; nothing else of ours crosses.
set crossing [get_pins -quiet system_i/accelerator/irq]
if {[llength $crossing] != 1} {
  error "constraints.tcl: [llength $crossing] pins are called system_i/accelerator/irq where 1 belongs"
}
set_false_path -through $crossing
