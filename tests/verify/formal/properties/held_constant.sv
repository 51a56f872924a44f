// A value that the solver chooses once: whatever is proved with it is proved for all its values.
module held_constant #(
    parameter int unsigned Width = 1
) (
    input logic             clk_i,
    input logic [Width-1:0] value_i
);

  logic [Width-1:0] before_q;
  logic first_q = 1'b1;

  always @(posedge clk_i) begin
    before_q <= value_i;
    first_q  <= 1'b0;
  end

  always_comb constant_is_held: assume (first_q || value_i == before_q);

endmodule
