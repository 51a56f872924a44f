// The two rules of a valid/ready stream, as assertions: what is offered stays on offer, unchanged, until it is taken.
module moesaic_handshake_rules #(
    parameter int unsigned Width = 1
) (
    input logic             clk_i,
    input logic             rst_ni,
    input logic             valid_i,
    input logic             ready_i,
    input logic [Width-1:0] payload_i
);

  logic armed, waiting_q;
  logic [Width-1:0] payload_q;

  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));

  always_ff @(posedge clk_i) begin
    waiting_q <= armed && valid_i && !ready_i;
    payload_q <= payload_i;
    if (armed && waiting_q) begin
      valid_held_until_ready: assert (valid_i);
      payload_stable_until_ready: assert (payload_i == payload_q);
    end
  end

endmodule
