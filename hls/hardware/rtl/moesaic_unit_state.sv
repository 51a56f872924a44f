// The state of a unit that executes one instruction at a time: idle, busy, or faulted until the reset.
//
// An instruction that refuse_i forbids faults at once, one that runs into memory_fault_i then; otherwise done_o follows
// finished_i by one cycle, in which the next instruction may already be taken.
module moesaic_unit_state (
    input  logic       clk_i,
    input  logic       rst_ni,
    input  logic       instr_valid_i,
    output logic       instr_ready_o,
    input  logic       refuse_i,
    input  logic [3:0] refuse_cause_i,
    input  logic       memory_fault_i,
    input  logic       finished_i,
    output logic       start_o,
    output logic       busy_o,
    output logic       done_o,
    output logic       fault_o,
    output logic [3:0] fault_cause_o
);

  logic busy_q, faulted_q, fault_q, done_q;
  logic [3:0] cause_q;
  logic accept;

  assign instr_ready_o = !busy_q && !faulted_q;
  assign accept        = instr_valid_i && instr_ready_o;
  assign start_o       = accept && !refuse_i;
  assign busy_o        = busy_q;
  assign done_o        = done_q;
  assign fault_o       = fault_q;
  assign fault_cause_o = cause_q;

  always_ff @(posedge clk_i) begin
    done_q  <= 1'b0;
    fault_q <= 1'b0;
    if (accept && refuse_i) begin
      faulted_q <= 1'b1;
      fault_q   <= 1'b1;
      cause_q   <= refuse_cause_i;
    end else if (accept) begin
      busy_q <= 1'b1;
    end else if (busy_q && memory_fault_i) begin
      busy_q    <= 1'b0;
      faulted_q <= 1'b1;
      fault_q   <= 1'b1;
      cause_q   <= moesaic_isa_pkg::FAULT_ADDRESS;
    end else if (busy_q && finished_i) begin
      busy_q <= 1'b0;
      done_q <= 1'b1;
    end
    if (!rst_ni) begin
      busy_q    <= 1'b0;
      faulted_q <= 1'b0;
      fault_q   <= 1'b0;
      done_q    <= 1'b0;
    end
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      faulted_is_not_busy: assert (!(busy_q && faulted_q));
      done_or_fault: assert (!(done_q && fault_q));
    end
  end
`endif

endmodule
