// Two int8 dot products on one cascade of TileDepth DSP multipliers: dot_0 = sum w0[k] * a[k], dot_1 = sum w1[k] * a[k].
//
// One 27x18 multiplier forms (w1 * 2**18 + w0) * a, and the cascade adds the products of all k, so that the sum is
// S = dot_1 * 2**18 + dot_0. With |w| <= 128 and |a| <= 128 a sum of at most eight products lies in
// -8 * 128 * 127 = -130,048 .. 8 * 128 * 128 = 131,072: only its largest value, 2**17, misses a signed 18-bit field. The
// cascade therefore starts at -1. With P = S - 1 the low field is dot_0 - 1, in -130,049 .. 131,071, and
//     dot_0 = signed(P[17:0]) + 1,      dot_1 = (P - signed(P[17:0])) / 2**18 = P[36:18] + P[17]
// are exact for all operands; the adders behind this module take the two ones as carries.
// w1 * 2**18 + w0 lies in -2**25 - 128 .. 127 * 2**18 + 127 and fits the 27-bit port.
//
// Every register is one that a DSP slice has: operands, product, cascade sum. Operand k must arrive k cycles after operand
// 0; the sum then follows operand 0 by TileDepth + 2 cycles.
module packed_dot #(
    parameter int unsigned TileDepth = 4
) (
    input  logic                          clk_i,
    input  logic                          enable_i,
    input  logic [TileDepth-1:0][7:0]     a_i,
    input  logic [TileDepth-1:0][26:0]    weights_i,
    output logic signed [36:0]            sum_o
);

  if (TileDepth > 8) begin : gen_check
    $fatal(1, "packed_dot: the low field holds the sum of at most 8 products");
  end

  for (genvar k = 0; k < TileDepth; k++) begin : gen_dsp
    logic signed [7:0] a_q;
    logic signed [26:0] weights_q;
    logic signed [34:0] product_q;
    logic signed [36:0] sum_q;
    logic signed [36:0] cascade;

    if (k == 0) begin : gen_first
      assign cascade = -37'sd1;
    end else begin : gen_next
      assign cascade = gen_dsp[k-1].sum_q;
    end

    always_ff @(posedge clk_i) begin
      if (enable_i) begin
        a_q <= a_i[k];
        weights_q <= weights_i[k];
        product_q <= a_q * weights_q;
        sum_q <= cascade + 37'(product_q);
      end
    end
  end

  assign sum_o = gen_dsp[TileDepth-1].sum_q;

endmodule
