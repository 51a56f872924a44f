# The array in neighbouring rows of clock regions, as few as hold its DSP slices with a tenth to spare, from the top of the device down:
# away from the processing system, which lies in the lower left corner of these devices and where the memory ports end.
# The device itself says how many slices a region has.
set cells [get_cells -quiet -hierarchical -filter {NAME =~ */u_matmul/u_array}]
if {[llength $cells] != 1} {
  error "floorplan.tcl: [llength $cells] cells end in u_matmul/u_array where 1 belongs"
}
set needed [llength [get_cells -quiet -hierarchical -filter "REF_NAME == DSP48E2 && NAME =~ [lindex $cells 0]/*"]]
if {$needed == 0} {
  error "floorplan.tcl: the array has no DSP48E2"
}
set rows {}
foreach region [get_clock_regions] {
  if {[regexp {^X\d+Y(\d+)$} $region -> row]} {
    dict lappend rows $row $region
  }
}
set pblock [create_pblock array]
set held 0
foreach row [lsort -integer -decreasing [dict keys $rows]] {
  foreach region [dict get $rows $row] {
    set slices [llength [get_sites -quiet -of_objects [get_clock_regions $region] -filter {SITE_TYPE == DSP48E2}]]
    if {$slices} {
      resize_pblock $pblock -add CLOCKREGION_$region:CLOCKREGION_$region
      incr held $slices
    }
  }
  if {$held >= 1.1 * $needed} {
    break
  }
}
if {$held < $needed} {
  error "floorplan.tcl: the array has $needed DSP48E2, the device has $held"
}
add_cells_to_pblock $pblock $cells
puts "floorplan: $needed DSP48E2 of the array in clock regions that have $held"
