# The board's preset comes from Vivado's board files. Vivado brings AMD's own; board_files, in settings.tcl, names another folder of them.
if {$board_files ne ""} {
  if {![file isdirectory $board_files]} {
    error "board_files $board_files is no folder; set it in settings.tcl to one with board files, or to nothing"
  }
  set_param board.repoPaths [list $board_files]
}
if {[llength [get_board_parts -quiet $board_part]] == 0} {
  set name [lindex [split $board_part :] 1]
  set others [get_board_parts -quiet *:$name:*]
  error "Vivado has no board files for $board_part[expr {[llength $others] ? " but for $others" : ""}]; install them (Vivado Store, Boards)\
    or name a copy of github.com/Xilinx/XilinxBoardStore as board_files in settings.tcl"
}
