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
module moesaic_packed_dot #(
    parameter int unsigned TileDepth = 4
) (
    input  logic                          clk_i,
    input  logic [TileDepth-1:0][7:0]     a_i,
    input  logic [TileDepth-1:0][26:0]    weights_i,
    output logic signed [36:0]            sum_o
);

  if (TileDepth > 8) begin : gen_check
    $fatal(1, "packed_dot: TileDepth is %0d, the low field holds the sum of at most 8 products", TileDepth);
  end

  // Sums are signed 37-bit numbers; the cascade between slices has 48 bits.
  logic [TileDepth:0][47:0] cascade;
  logic [TileDepth-1:0][47:0] sums;

  assign cascade[0] = '0;

  for (genvar k = 0; k < TileDepth; k++) begin : gen_dsp
    moesaic_dsp48_mac #(
        .Cascaded(k != 0)
    ) u_slice (
        .clk_i,
        .a_i      (weights_i[k]),
        .b_i      ({{10{a_i[k][7]}}, a_i[k]}),
        .c_i      ('1),
        .cascade_i(cascade[k]),
        .cascade_o(cascade[k+1]),
        .sum_o    (sums[k])
    );
  end

  assign sum_o = 37'(sums[TileDepth-1]);

endmodule
