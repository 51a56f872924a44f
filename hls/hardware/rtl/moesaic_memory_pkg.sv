// How long the memories take, from the cycle of a read's grant (or of its address, where every read is granted) to that of its
// answer. Each memory has an address register, the memory itself, its own output register, and a register behind the
// multiplexer that chooses among banks; what has no multiplexer lacks the last one.
/* verilator lint_off UNUSEDPARAM */
package moesaic_memory_pkg;

  localparam int unsigned ACT_READ_CYCLES = 4;
  localparam int unsigned WEIGHT_READ_CYCLES = 4;
  localparam int unsigned QUEUE_READ_CYCLES = 3;
  localparam int unsigned MAXIMUM_READ_CYCLES = 3;  // no address register: it comes from one
  localparam int unsigned SCALE_READ_CYCLES = 2;    // the same, and a bank belongs to one port
  localparam int unsigned TABLE_READ_CYCLES = 4;

endpackage
/* verilator lint_on UNUSEDPARAM */
