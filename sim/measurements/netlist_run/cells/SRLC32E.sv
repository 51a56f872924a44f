// A shift register of 32 bits with an enable. Yosys' own model starts with zeros where the source leaves the contents open, and takes an
// unknown enable for an inactive one; here contents start unknown, and become so.
module SRLC32E #(
    parameter [31:0] INIT = 32'd0,
    parameter [0:0] IS_CLK_INVERTED = 1'b0
) (
    output wire Q, Q31,
    input  wire CE, CLK, D,
    input  wire [4:0] A
);
  reg [31:0] bits;
  assign Q = bits[A];
  assign Q31 = bits[31];
  always @(posedge CLK) bits <= CE ? {bits[30:0], D} : bits;
  initial begin
    if (IS_CLK_INVERTED != 1'b0) begin
      $display("FAILED: %m: a mode of SRLC32E that is not modelled");
      $finish;
    end
  end
endmodule
