// Lanes of 2**(-distance / 256) in Q0.16 (0..65,536), rounded; moesaic.spec.arithmetic.exp2_q16. The result follows two cycles later.
module moesaic_exp2 #(
    parameter int unsigned Lanes = 8
) (
    input  logic                   clk_i,
    input  logic [Lanes-1:0][15:0] distance_i,
    output logic [Lanes-1:0][16:0] exponential_o
);

  logic [Lanes-1:0][16:0] fraction_q;
  logic [Lanes-1:0][7:0]  octaves_q;
  logic [Lanes-1:0][16:0] rounded;

  // Shifted one place less, the last bit is the one that decides the rounding. From 18 octaves on nothing is left.
  always_comb begin
    for (int l = 0; l < int'(Lanes); l++) begin
      rounded[l] = 17'((({fraction_q[l], 1'b0} >> octaves_q[l]) + 18'd1) >> 1);
    end
  end

  always_ff @(posedge clk_i) begin
    for (int l = 0; l < int'(Lanes); l++) begin
      fraction_q[l] <= moesaic_isa_pkg::exp2_entry(distance_i[l][7:0]);
      octaves_q[l]  <= distance_i[l][15:8];
    end
    exponential_o <= rounded;
  end

endmodule
