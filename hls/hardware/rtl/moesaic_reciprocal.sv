// Reciprocal of an integer as mantissa and bit length; moesaic.spec.arithmetic.reciprocal for values below 2**Width.
//
// With d = value * 2**(Width - bits), which has its top bit set, the mantissa is floor(2**(Width + 15) / d): sixteen steps of
// restoring division that start from 2**(Width - 1). For a power of two every step fits, which gives the 65,535 that the
// quotient 65,536 saturates to. A stage takes two of the steps: one value enters per cycle and leaves 10 cycles later.
module moesaic_reciprocal #(
    parameter int unsigned Width = 32
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             valid_i,
    input  logic [Width-1:0] value_i,
    output logic             valid_o,
    output logic [15:0]      mantissa_o,
    output logic [5:0]       bits_o
);

  localparam int unsigned Stages = 8;

  if (Width < 16 || Width > 32) begin : gen_check
    $fatal(1, "reciprocal: Width is %0d, it must be 16 to 32", Width);
  end

  logic [5:0] value_bits;
  always_comb begin
    value_bits = '0;
    for (int b = 0; b < int'(Width); b++) if (value_i[b]) value_bits = 6'(b + 1);
  end

  logic [Width-1:0]            value_q;
  logic [5:0]                  value_bits_q;
  logic [Stages+1:0]           valid_q;
  logic [Stages:0][5:0]        bits_q;
  logic [Stages:0][Width-1:0]  divisor_q;
  logic [Stages:0][Width-1:0]  remainder_q;
  logic [Stages:0][15:0]       quotient_q;
  logic [Stages-1:0][Width-1:0] remainder;
  logic [Stages-1:0][15:0]     quotient;
  logic signed [Width+1:0]     divisor, twice, four, first, second;

  always_comb begin
    {divisor, twice, four, first, second} = '0;
    for (int s = 0; s < int'(Stages); s++) begin
      // What the second step leaves is found for both outcomes of the first; negative differences do not fit.
      divisor      = {2'b00, divisor_q[s]};
      twice        = {1'b0, remainder_q[s], 1'b0};
      four         = {remainder_q[s], 2'b00};
      first        = twice - divisor;
      second       = first[Width+1] ? four - divisor : (first << 1) - divisor;
      quotient[s]  = {quotient_q[s][13:0], !first[Width+1], !second[Width+1]};
      remainder[s] = Width'(!second[Width+1] ? second : !first[Width+1] ? first << 1 : four);
    end
  end

  always_ff @(posedge clk_i) begin
    value_q        <= value_i;
    value_bits_q   <= value_bits;
    bits_q[0]      <= value_bits_q;
    divisor_q[0]   <= value_q << (6'(Width) - value_bits_q);
    remainder_q[0] <= Width'(1) << (Width - 1);
    quotient_q[0]  <= '0;
    for (int s = 0; s < int'(Stages); s++) begin
      bits_q[s+1]      <= bits_q[s];
      divisor_q[s+1]   <= divisor_q[s];
      remainder_q[s+1] <= remainder[s];
      quotient_q[s+1]  <= quotient[s];
    end
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[Stages:0], valid_i};
  end

  assign valid_o    = valid_q[Stages+1];
  assign bits_o     = bits_q[Stages];
  assign mantissa_o = (bits_q[Stages] == '0) ? '0 : quotient_q[Stages];

endmodule
