// Stops the simulation when a valid/ready channel drops valid, or changes its payload, before the payload was taken.
module handshake_checker #(
  parameter int Width = 1
) (
  input logic             clk_i,
  input logic             rst_ni,
  input logic             valid_i,
  input logic             ready_i,
  input logic [Width-1:0] payload_i
);

  logic             waiting_q;
  logic [Width-1:0] payload_q;

  always_ff @(posedge clk_i) begin
    waiting_q <= rst_ni && valid_i && !ready_i;
    payload_q <= payload_i;
    if (rst_ni && waiting_q) begin
      if (!valid_i) $fatal(1, "%m: valid dropped before the payload was taken");
      if (payload_i != payload_q) $fatal(1, "%m: payload changed from %h to %h before it was taken", payload_q, payload_i);
    end
  end

endmodule
