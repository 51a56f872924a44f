// Says when assertions may judge: in simulation registers, and even the clock, start with anything, so nothing is checked before
// the first reset nor during any.
module moesaic_assertions_armed (
    input  logic clk_i,
    input  logic rst_ni,
    output logic armed_o
);

  logic reset_seen_q;
  initial reset_seen_q = 1'b0;
  always @(posedge clk_i) if (!rst_ni) reset_seen_q <= 1'b1;

  assign armed_o = rst_ni && reset_seen_q;

endmodule
