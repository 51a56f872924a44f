// A flip-flop with synchronous set and enable. Yosys' own model takes an unknown set or enable for an inactive one; here it makes the
// output unknown, unless all possibilities agree.
module FDSE #(
    parameter [0:0] INIT = 1'b0,
    parameter [0:0] IS_D_INVERTED = 1'b0,
    parameter [0:0] IS_S_INVERTED = 1'b0
) (
    output reg Q,
    input C, CE, D, S
);
  initial Q = INIT;
  always @(posedge C) Q <= S ^ IS_S_INVERTED ? 1'b1 : CE ? D ^ IS_D_INVERTED : Q;
endmodule
