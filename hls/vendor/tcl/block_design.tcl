# The block design: processing system with the board's preset, the accelerator with a clock of its own, registers and interrupt
# controller on the processing system's clock, DDR behind the board's memory ports. What differs between boards is in settings.tcl.
create_project -force -part $part accelerator_system [file join $root accelerator_system]
set_property board_part $board_part [current_project]
set repositories [list [file join $root ip]]
if {$engine eq "hls"} {
  lappend repositories [file join $root kernel kernel_project solution impl ip]
}
set_property ip_repo_paths $repositories [current_project]
update_ip_catalog
create_bd_design system

# --- processing system. S_AXI_GP0 and GP1 are HPC0 and HPC1, GP2 to GP5 are HP0 to HP3 (PG201). ---
set gp_of {HPC0 0 HPC1 1 HP0 2 HP1 3 HP2 4 HP3 5}
set control_of {M_AXI_HPM0_FPD {0 maxihpm0_fpd_aclk} M_AXI_HPM1_FPD {1 maxihpm1_fpd_aclk} M_AXI_HPM0_LPD {2 maxihpm0_lpd_aclk}}
lassign [dict get $control_of $control_port] control_gp control_clock
set ps [create_bd_cell -type ip -vlnv xilinx.com:ip:zynq_ultra_ps_e ps]
apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config {apply_board_preset "1"} $ps
set memory_ports [lsort -unique [dict values $memory_map]]
set ps_settings {CONFIG.PSU__FPGA_PL0_ENABLE 1 CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ 100}
lappend ps_settings CONFIG.PSU__USE__IRQ[string index $interrupt_pin end] 1
foreach gp {0 1 2} {
  lappend ps_settings CONFIG.PSU__USE__M_AXI_GP$gp [expr {$gp == $control_gp}]
}
lappend ps_settings CONFIG.PSU__MAXIGP${control_gp}__DATA_WIDTH 32
foreach port [dict keys $gp_of] {
  set gp [dict get $gp_of $port]
  set used [expr {$port in $memory_ports}]
  lappend ps_settings CONFIG.PSU__USE__S_AXI_GP$gp $used
  if {$used} {
    lappend ps_settings CONFIG.PSU__SAXIGP${gp}__DATA_WIDTH 128
  }
}
set_property -dict $ps_settings $ps

# --- clocks and resets. The wizard's input frequency comes with the net: pl_clk0 is near 100 MHz, as the board's reference divides. ---
set wizard [create_bd_cell -type ip -vlnv xilinx.com:ip:clk_wiz clock_wizard]
set_property -dict [list CONFIG.PRIM_SOURCE No_buffer CONFIG.CLKOUT1_REQUESTED_OUT_FREQ $clock_mhz CONFIG.USE_LOCKED true \
  CONFIG.USE_RESET true CONFIG.RESET_TYPE ACTIVE_LOW CONFIG.RESET_PORT resetn] $wizard
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset reset_sync
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset control_reset
connect_bd_net [get_bd_pins ps/pl_resetn0] [get_bd_pins clock_wizard/resetn] [get_bd_pins reset_sync/ext_reset_in] \
  [get_bd_pins control_reset/ext_reset_in]
connect_bd_net [get_bd_pins clock_wizard/locked] [get_bd_pins reset_sync/dcm_locked]
set clocked {reset_sync/slowest_sync_clk}
set reset_low {}
set slow_clocked [list clock_wizard/clk_in1 control_reset/slowest_sync_clk ps/$control_clock]
set slow_reset_low {}

# --- accelerator ---
create_bd_cell -type ip -vlnv moesaic:moesaic:accelerator:1.0 accelerator
lappend clocked accelerator/aclk
lappend reset_low accelerator/aresetn
if {$engine eq "hls"} {
  create_bd_cell -type ip -vlnv moesaic:hls:kernel:1.0 kernel
  lappend clocked kernel/ap_clk
  lappend reset_low kernel/ap_rst_n
  foreach {from to} {
    accelerator/kernel_start_o kernel/ap_start kernel/ap_ready accelerator/kernel_ready_i kernel/ap_done accelerator/kernel_done_i
  } {
    connect_bd_net [get_bd_pins $from] [get_bd_pins $to]
  }
  foreach input {constant_base constant_size frame_base frame_size program_offset program_size} {
    connect_bd_net [get_bd_pins accelerator/${input}_o] [get_bd_pins kernel/$input]
  }
  foreach result {fault fault_unit fault_tag instructions matmul_array read_beats write_beats} {
    connect_bd_net [get_bd_pins kernel/$result] [get_bd_pins accelerator/${result}_i]
    connect_bd_net [get_bd_pins kernel/${result}_ap_vld] [get_bd_pins accelerator/${result}_valid_i]
  }
  set owner kernel
} else {
  set owner accelerator
}

# --- control: registers and the interrupt controller, through which PYNQ waits for the accelerator ---
# All of it but the accelerator's own side is on pl_clk0: an interconnect at the accelerator's clock would be one more place where timing
# can fail, for a few accesses a frame. The interconnect converts to AXI4-Lite and crosses the clocks.
# The controller's input is edge-triggered: PYNQ acknowledges an interrupt in the controller before the driver clears it in the accelerator,
# so a level would be latched again and wake the next wait at once (Xilinx/PYNQ issue 1315 and pull request 1318; AMD PG099). Set by hand,
# because the sensitivity would otherwise be taken from the accelerator's irq, which is a level. It comes from another clock: C_ASYNC_INTR.
create_bd_cell -type ip -vlnv xilinx.com:ip:axi_intc interrupts
set_property -dict {CONFIG.C_IRQ_CONNECTION 1 CONFIG.C_KIND_OF_INTR.VALUE_SRC USER CONFIG.C_KIND_OF_INTR 0xFFFFFFFF
  CONFIG.C_ASYNC_INTR.VALUE_SRC USER CONFIG.C_ASYNC_INTR 0xFFFFFFFF} [get_bd_cells interrupts]
create_bd_cell -type ip -vlnv xilinx.com:ip:axi_interconnect control
set_property -dict {CONFIG.NUM_SI 1 CONFIG.NUM_MI 2} [get_bd_cells control]
connect_bd_intf_net [get_bd_intf_pins ps/$control_port] [get_bd_intf_pins control/S00_AXI]
connect_bd_intf_net [get_bd_intf_pins control/M00_AXI] [get_bd_intf_pins accelerator/s_axi_control]
connect_bd_intf_net [get_bd_intf_pins control/M01_AXI] [get_bd_intf_pins interrupts/s_axi]
connect_bd_net [get_bd_pins accelerator/$interrupt] [get_bd_pins interrupts/intr]
connect_bd_net [get_bd_pins interrupts/irq] [get_bd_pins ps/$interrupt_pin]
lappend clocked control/M00_ACLK
lappend reset_low control/M00_ARESETN
lappend slow_clocked control/ACLK control/S00_ACLK control/M01_ACLK interrupts/s_axi_aclk
lappend slow_reset_low control/ARESETN control/S00_ARESETN control/M01_ARESETN interrupts/s_axi_aresetn

# --- memory: a SmartConnect for each port to DDR ---
foreach port $memory_ports {
  set masters [dict keys [dict filter $memory_map value $port]]
  set name memory_[string tolower $port]
  create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect $name
  set_property -dict [list CONFIG.NUM_SI [llength $masters] CONFIG.NUM_MI 1] [get_bd_cells $name]
  set index 0
  foreach master $masters {
    connect_bd_intf_net [get_bd_intf_pins $owner/$master] [get_bd_intf_pins $name/[format S%02d_AXI $index]]
    incr index
  }
  connect_bd_intf_net [get_bd_intf_pins $name/M00_AXI] [get_bd_intf_pins ps/S_AXI_${port}_FPD]
  lappend clocked $name/aclk ps/saxi[string tolower $port]_fpd_aclk
  lappend reset_low $name/aresetn
}
foreach {pins from} [list $clocked clock_wizard/clk_out1 $slow_clocked ps/pl_clk0 \
  $reset_low reset_sync/peripheral_aresetn $slow_reset_low control_reset/peripheral_aresetn] {
  foreach pin $pins {
    connect_bd_net [get_bd_pins $from] [get_bd_pins $pin]
  }
}

# --- addresses: masters see the DDR that the board has and nothing else ---
assign_bd_address -offset $control_address -range $control_bytes -target_address_space [get_bd_addr_spaces ps/Data] \
  [get_bd_addr_segs accelerator/s_axi_control/reg0] -force
assign_bd_address -offset $interrupt_controller_address -range 64K -target_address_space [get_bd_addr_spaces ps/Data] \
  [get_bd_addr_segs interrupts/S_AXI/Reg] -force
dict for {master port} $memory_map {
  set space [get_bd_addr_spaces -of_objects [get_bd_intf_pins $owner/$master]]
  set missing [dict keys $ddr_ranges]
  foreach segment [get_bd_addr_segs ps/SAXIGP[dict get $gp_of $port]/*] {
    # A segment is called HP0_DDR_LOW; what follows the port is its name.
    set name [string range [file tail $segment] [string length ${port}_] end]
    if {[dict exists $ddr_ranges $name]} {
      lassign [dict get $ddr_ranges $name] base bytes
      assign_bd_address -offset $base -range $bytes -target_address_space $space $segment -force
      set missing [lsearch -all -inline -not -exact $missing $name]
    } else {
      exclude_bd_addr_seg -target_address_space $space $segment
    }
  }
  if {[llength $missing]} {
    error "$port has no segment $missing: the preset $board_part has less memory than the board's file says"
  }
}

validate_bd_design
# The clock that the wizard makes, which is not quite the one asked for.
set clock_hz [get_property CONFIG.FREQ_HZ [get_bd_pins clock_wizard/clk_out1]]
save_bd_design
set design [get_files system.bd]
# Synthesised with the top, not as a checkpoint for each block: the strategy of synth_1 has to reach the accelerator.
set_property synth_checkpoint_mode None $design
generate_target all $design
add_files -norecurse [make_wrapper -files $design -top]
set_property top system_wrapper [current_fileset]
# Constraints in Tcl, which may look for what they name and stop the run: an XDC file that finds nothing is ignored with a warning.
add_files -fileset constrs_1 -norecurse [file join $root constraints.tcl]
set_property used_in_synthesis false [get_files constraints.tcl]
if {$floorplan} {
  add_files -fileset constrs_1 -norecurse [file join $root floorplan.tcl]
  set_property used_in_synthesis false [get_files floorplan.tcl]
}
update_compile_order -fileset sources_1
