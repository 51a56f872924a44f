// A flip-flop with synchronous reset and enable. Yosys' own model takes an unknown reset or enable for an inactive one; here it makes the
// output unknown, unless all possibilities agree.
module FDRE #(
    parameter [0:0] INIT = 1'b0,
    parameter [0:0] IS_D_INVERTED = 1'b0,
    parameter [0:0] IS_R_INVERTED = 1'b0
) (
    output reg Q,
    input C, CE, D, R
);
  initial Q = INIT;
  always @(posedge C) Q <= R ^ IS_R_INVERTED ? 1'b0 : CE ? D ^ IS_D_INVERTED : Q;
endmodule
