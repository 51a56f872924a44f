// moesaic_unit_state: an instruction that was accepted ends exactly once, done or with a fault; no other is accepted before that, and
// none after a fault until the reset.
module unit_state_proof (
    input logic clk_i,
    input logic rst_ni,
    input logic instr_valid_i,
    input logic outside_i,
    input logic memory_fault_i,
    input logic finished_i
);

  logic ready, start, busy, done, fault;
  logic [3:0] cause;

  reset_assumed u_reset (.clk_i, .rst_ni);

  moesaic_unit_state u_state (
      .clk_i,
      .rst_ni,
      .instr_valid_i,
      .instr_ready_o(ready),
      .outside_i,
      .memory_fault_i,
      .finished_i,
      .start_o(start),
      .busy_o (busy),
      .done_o (done),
      .fault_o(fault),
      .fault_cause_o(cause)
  );

  // The state as the ports show it.
  logic running_q, faulted_q, ends_done_q, ends_fault_q, accept, ends_done, ends_fault;
  assign accept     = instr_valid_i && ready;
  assign ends_done  = running_q && finished_i && !memory_fault_i;
  assign ends_fault = (accept && outside_i) || (running_q && memory_fault_i);

  always_ff @(posedge clk_i) begin
    if (accept && !outside_i) running_q <= 1'b1;
    if (ends_done || ends_fault) running_q <= 1'b0;
    if (ends_fault) faulted_q <= 1'b1;
    ends_done_q  <= ends_done;
    ends_fault_q <= ends_fault;
    if (!rst_ni) begin
      running_q    <= 1'b0;
      faulted_q    <= 1'b0;
      ends_done_q  <= 1'b0;
      ends_fault_q <= 1'b0;
    end
    if (rst_ni) begin
      accepts_only_when_idle: assert (ready == (!running_q && !faulted_q));
      starts_what_it_accepts: assert (start == (accept && !outside_i));
      busy_while_running: assert (busy == running_q);
      done_once_after_the_end: assert (done == ends_done_q);
      fault_once_after_the_end: assert (fault == ends_fault_q);
      a_fault_is_of_an_address: assert (cause == moesaic_isa_pkg::FAULT_ADDRESS);
      faulted_rests: assert (!(faulted_q && running_q) && (u_state.faulted_q == faulted_q));
      next_one_while_done: cover (done && accept);
      fault_in_mid_run: cover (fault && cause != '0);
    end
  end

endmodule
