// The reset as an accelerator gets it: low at first, and whenever it goes low, for two cycles at least, because what is replicated
// (moesaic_replica) follows one cycle later. Otherwise it may come at any time.
module reset_assumed (
    input logic clk_i,
    input logic rst_ni
);

  logic [1:0] low_q = 2'd0;
  logic high_q = 1'b0;

  always @(posedge clk_i) begin
    low_q  <= rst_ni ? 2'd0 : low_q == 2'd2 ? 2'd2 : low_q + 2'd1;
    high_q <= rst_ni;
  end

  always_comb reset_is_held: assume (!rst_ni || high_q || low_q == 2'd2);

endmodule
