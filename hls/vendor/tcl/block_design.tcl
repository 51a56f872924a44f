# The block design: processing system with the board's preset, one clock, the accelerator, DDR behind HP0, HP1 and HP3.
create_project -force -part $part accelerator_system [file join $root accelerator_system]
set_property board_part $board_part [current_project]
set repositories [list [file join $root ip]]
if {$engine eq "hls"} {
  lappend repositories [file join $root kernel_ip]
}
set_property ip_repo_paths $repositories [current_project]
update_ip_catalog
create_bd_design system

# --- processing system. S_AXI_GP2 to GP5 are HP0 to HP3. ---
set gp_of {HP0 2 HP1 3 HP2 4 HP3 5}
set ps [create_bd_cell -type ip -vlnv xilinx.com:ip:zynq_ultra_ps_e ps]
apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config {apply_board_preset "1"} $ps
set memory_ports [lsort -unique [dict values $memory_map]]
set ps_settings {
  CONFIG.PSU__USE__M_AXI_GP0 1 CONFIG.PSU__USE__M_AXI_GP1 0 CONFIG.PSU__USE__M_AXI_GP2 0
  CONFIG.PSU__MAXIGP0__DATA_WIDTH 32
  CONFIG.PSU__FPGA_PL0_ENABLE 1 CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ 100
  CONFIG.PSU__USE__IRQ0 1
}
foreach port [dict keys $gp_of] {
  set gp [dict get $gp_of $port]
  set used [expr {$port in $memory_ports}]
  lappend ps_settings CONFIG.PSU__USE__S_AXI_GP$gp $used
  if {$used} {
    lappend ps_settings CONFIG.PSU__SAXIGP${gp}__DATA_WIDTH 128
  }
}
set_property -dict $ps_settings $ps

# --- clock and reset. The wizard's input frequency comes with the net: pl_clk0 is near 100 MHz, as the board's crystal divides. ---
set wizard [create_bd_cell -type ip -vlnv xilinx.com:ip:clk_wiz clock_wizard]
set_property -dict [list CONFIG.PRIM_SOURCE No_buffer CONFIG.CLKOUT1_REQUESTED_OUT_FREQ $clock_mhz CONFIG.USE_LOCKED true \
  CONFIG.USE_RESET true CONFIG.RESET_TYPE ACTIVE_LOW CONFIG.RESET_PORT_NAME resetn] $wizard
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset reset_sync
connect_bd_net [get_bd_pins ps/pl_clk0] [get_bd_pins clock_wizard/clk_in1]
connect_bd_net [get_bd_pins ps/pl_resetn0] [get_bd_pins clock_wizard/resetn] [get_bd_pins reset_sync/ext_reset_in]
connect_bd_net [get_bd_pins clock_wizard/locked] [get_bd_pins reset_sync/dcm_locked]
set clocked [list reset_sync/slowest_sync_clk ps/maxihpm0_fpd_aclk]
set reset_low {}

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
# Its input is edge-triggered: PYNQ acknowledges an interrupt in the controller before the driver clears it in the accelerator, so a
# level would be latched again and wake the next wait at once (Xilinx/PYNQ issue 1315 and pull request 1318; AMD PG099). Set by hand,
# because the sensitivity would otherwise be taken from the accelerator's irq, which is a level.
create_bd_cell -type ip -vlnv xilinx.com:ip:axi_intc interrupts
set_property -dict {CONFIG.C_IRQ_CONNECTION 1 CONFIG.C_KIND_OF_INTR.VALUE_SRC USER CONFIG.C_KIND_OF_INTR 0xFFFFFFFF} [get_bd_cells interrupts]
create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect control
set_property -dict {CONFIG.NUM_SI 1 CONFIG.NUM_MI 2} [get_bd_cells control]
connect_bd_intf_net [get_bd_intf_pins ps/M_AXI_HPM0_FPD] [get_bd_intf_pins control/S00_AXI]
connect_bd_intf_net [get_bd_intf_pins control/M00_AXI] [get_bd_intf_pins accelerator/s_axi_control]
connect_bd_intf_net [get_bd_intf_pins control/M01_AXI] [get_bd_intf_pins interrupts/s_axi]
connect_bd_net [get_bd_pins accelerator/$interrupt] [get_bd_pins interrupts/intr]
connect_bd_net [get_bd_pins interrupts/irq] [get_bd_pins ps/pl_ps_irq0]
lappend clocked control/aclk interrupts/s_axi_aclk
lappend reset_low control/aresetn interrupts/s_axi_aresetn

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
foreach pin $clocked {
  connect_bd_net [get_bd_pins clock_wizard/clk_out1] [get_bd_pins $pin]
}
foreach pin $reset_low {
  connect_bd_net [get_bd_pins reset_sync/peripheral_aresetn] [get_bd_pins $pin]
}

# --- addresses: masters see the 2 GiB of DDR that the board has and nothing else ---
assign_bd_address -offset $control_address -range $control_bytes -target_address_space [get_bd_addr_spaces ps/Data] \
  [get_bd_addr_segs accelerator/s_axi_control/reg0] -force
assign_bd_address -offset $interrupt_controller_address -range 64K -target_address_space [get_bd_addr_spaces ps/Data] \
  [get_bd_addr_segs interrupts/S_AXI/Reg] -force
dict for {master port} $memory_map {
  set space [get_bd_addr_spaces -of_objects [get_bd_intf_pins $owner/$master]]
  foreach segment [get_bd_addr_segs ps/SAXIGP[dict get $gp_of $port]/*] {
    if {[string match *DDR_LOW $segment]} {
      assign_bd_address -offset 0x0 -range 2G -target_address_space $space $segment -force
    } else {
      exclude_bd_addr_seg -target_address_space $space $segment
    }
  }
}

validate_bd_design
save_bd_design
set design [get_files system.bd]
# Synthesised with the top, not as a checkpoint for each block: the strategy of synth_1 has to reach the accelerator.
set_property synth_checkpoint_mode None $design
generate_target all $design
add_files -norecurse [make_wrapper -files $design -top]
set_property top system_wrapper [current_fileset]
add_files -fileset constrs_1 -norecurse [file join $root constraints.xdc]
# It names a clock that only the implemented design has.
set_property used_in_synthesis false [get_files constraints.xdc]
update_compile_order -fileset sources_1
