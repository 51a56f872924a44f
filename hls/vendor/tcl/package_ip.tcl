# The RTL as an IP of type moesaic:moesaic:accelerator, which is the name the host looks for.
create_project -force -part $part package_ip [file join $root package_ip]
add_files -norecurse [glob [file join $root rtl *.sv] [file join $root rtl *.v]]
set_property top $top [current_fileset]
update_compile_order -fileset sources_1

ipx::package_project -root_dir [file join $root ip] -vendor moesaic -library moesaic -taxonomy /UserIP -import_files -force
set core [ipx::current_core]
set_property name accelerator $core
set_property version 1.0 $core
set_property display_name "moesaic accelerator, engine $engine" $core
set_property description "Mixture-of-experts vision transformer accelerator, configuration fingerprint $fingerprint" $core
set_property supported_families {zynquplus Production} $core

# The packager infers AXI interfaces, clock and reset from the names of the wrapper's ports; say so if it did not.
foreach interface [concat $interfaces aclk aresetn] {
  if {[ipx::get_bus_interfaces $interface -of_objects $core] eq ""} {
    error "ipx has not inferred the interface $interface"
  }
}
foreach interface $interfaces {
  ipx::associate_bus_interfaces -busif $interface -clock aclk $core
}
ipx::associate_bus_interfaces -clock aclk -reset aresetn $core
# The packager may have inferred the interrupt, with or without its sensitivity: neither can be added twice.
if {[ipx::get_bus_interfaces $interrupt -of_objects $core] eq ""} {
  ipx::infer_bus_interface $interrupt xilinx.com:signal:interrupt_rtl:1.0 $core
}
set bus [ipx::get_bus_interfaces $interrupt -of_objects $core]
set sensitivity [ipx::get_bus_parameters SENSITIVITY -of_objects $bus]
if {$sensitivity eq ""} {
  set sensitivity [ipx::add_bus_parameter SENSITIVITY $bus]
}
set_property value LEVEL_HIGH $sensitivity

set registers [ipx::get_address_blocks reg0 -of_objects [ipx::get_memory_maps s_axi_control -of_objects $core]]
if {$registers eq ""} {
  error "ipx has not inferred the address block of s_axi_control"
}
set_property range $control_bytes $registers
# Named, so that the hardware description lists them: the host compares their places with its own.
foreach {name offset access description} $register_map {
  set register [ipx::add_register $name $registers]
  set_property address_offset $offset $register
  set_property size 32 $register
  set_property access $access $register
  set_property description $description $register
}

ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity $core
ipx::save_core $core
close_project
