// The state of a unit that executes one instruction at a time: idle, busy, or faulted until the reset.
//
// An instruction that outside_i sees leave a memory faults at once, one that runs into memory_fault_i then; otherwise done_o
// follows finished_i by one cycle, in which the next instruction may already be taken. All faults are of addresses.
module moesaic_unit_state (
    input  logic       clk_i,
    input  logic       rst_ni,
    input  logic       instr_valid_i,
    output logic       instr_ready_o,
    input  logic       outside_i,
    input  logic       memory_fault_i,
    input  logic       finished_i,
    output logic       start_o,
    output logic       busy_o,
    output logic       done_o,
    output logic       fault_o,
    output logic [3:0] fault_cause_o
);

  logic busy_q, faulted_q, fault_q, done_q;
  logic accept;

  assign instr_ready_o = !busy_q && !faulted_q;
  assign accept        = instr_valid_i && instr_ready_o;
  assign start_o       = accept && !outside_i;
  assign busy_o        = busy_q;
  assign done_o        = done_q;
  assign fault_o       = fault_q;
  assign fault_cause_o = moesaic_isa_pkg::FAULT_ADDRESS;

  always_ff @(posedge clk_i) begin
    done_q  <= 1'b0;
    fault_q <= 1'b0;
    if (accept && outside_i) begin
      faulted_q <= 1'b1;
      fault_q   <= 1'b1;
    end else if (accept) begin
      busy_q <= 1'b1;
    end else if (busy_q && memory_fault_i) begin
      busy_q    <= 1'b0;
      faulted_q <= 1'b1;
      fault_q   <= 1'b1;
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
