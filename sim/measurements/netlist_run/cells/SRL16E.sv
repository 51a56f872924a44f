// A shift register of 16 bits with an enable. Yosys' own model starts with zeros where the source leaves the contents open, and takes an
// unknown enable for an inactive one; here contents start unknown, and become so.
module SRL16E #(
    parameter [15:0] INIT = 16'd0,
    parameter [0:0] IS_CLK_INVERTED = 1'b0
) (
    output wire Q,
    input  wire A0, A1, A2, A3, CE, CLK, D
);
  reg [15:0] bits;
  assign Q = bits[{A3, A2, A1, A0}];
  always @(posedge CLK) bits <= CE ? {bits[14:0], D} : bits;
  initial begin
    if (IS_CLK_INVERTED != 1'b0) begin
      $display("FAILED: %m: a mode of SRL16E that is not modelled");
      $finish;
    end
  end
endmodule
