// Says when assertions may judge: in simulation registers, and even the clock, start with anything, so nothing is checked before
// the first reset nor during any. A reset that comes from a register may be low by chance at power-up, hence one that is held.
module moesaic_assertions_armed (
    input  logic clk_i,
    input  logic rst_ni,
    output logic armed_o
);

  localparam int unsigned HeldCycles = 3;

  logic [1:0] held_q;
  initial held_q = '0;
  always @(posedge clk_i) begin
    if (32'(held_q) < HeldCycles) held_q <= rst_ni ? 2'd0 : held_q + 2'd1;
  end

  assign armed_o = rst_ni && 32'(held_q) == HeldCycles;

endmodule
