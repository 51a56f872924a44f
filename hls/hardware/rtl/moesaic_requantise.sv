// One lane of the requantiser: saturate16(round_shift(clip27(sum + bias) * multiplier, shift)), halves towards plus
// infinity, as spec/arithmetic.py defines it. Saturating to 16 bits first changes no later saturation to 8 or 10 bits.
//
// A sum enters every cycle, and its result shows six cycles later. With row_scale_i, given with the sum, the bias is not added,
// and row_multiplier_i and row_shift_i, due one cycle after the sum, are used. The multiplication is one DSP48E2 with all its
// registers. The shift keeps the last bit that it drops, which is what rounding adds: it costs a carry chain, where half of the last
// bit that stays, added before the shift, costs a decoder of 44 bits. A shift by more than 43 leaves the sign, which rounds to zero.
module moesaic_requantise (
    input  logic               clk_i,
    input  logic               row_scale_i,
    input  logic        [31:0] sum_i,
    input  logic        [31:0] bias_i,
    input  logic        [15:0] multiplier_i,
    input  logic        [5:0]  shift_i,
    input  logic        [15:0] row_multiplier_i,
    input  logic        [5:0]  row_shift_i,
    output logic        [15:0] result_o
);

  // stage 0: bias
  logic [32:0] biased_q;
  logic row_scale_0_q;
  logic [15:0] multiplier_0_q;
  logic [5:0] shift_0_q;
  // stage 1: clip
  logic [26:0] clipped;
  logic [15:0] multiplier;
  logic [5:0] shift_1_q;
  // stages 2 and 3: multiply
  logic [5:0] shift_2_q, shift_3_q;
  /* verilator lint_off UNUSEDSIGNAL */
  logic [47:0] product, cascade;
  /* verilator lint_on UNUSEDSIGNAL */
  // stage 4: |product| < 2**42, with a zero below it, shifted by all but the last 0 to 3 places
  logic [43:0] extended;
  logic [19:0] coarse, coarse_q;
  logic beyond_coarse, beyond_q, sign_q;
  logic [1:0] shift_4_q;
  // stage 5: shifted, with the bit that rounds at the bottom; rounded and saturated
  logic [16:0] shifted, rounded;
  logic beyond_fine, saturates;

  assign clipped = (biased_q[32:26] == {7{biased_q[32]}}) ? biased_q[26:0] : {biased_q[32], {26{~biased_q[32]}}};
  assign multiplier = row_scale_0_q ? row_multiplier_i : multiplier_0_q;

  moesaic_dsp48_mac u_slice (
      .clk_i,
      .a_i      (clipped),
      .b_i      ({2'b00, multiplier}),
      .c_i      ('0),
      .cascade_i('0),
      .cascade_o(cascade),
      .sum_o    (product)
  );

  assign extended = {product[42:0], 1'b0};

  moesaic_shift_coarse #(
      .Width(44),
      .Kept (20)
  ) u_coarse (
      .value_i (extended),
      .shift_i (shift_3_q[5:2]),
      .value_o (coarse),
      .beyond_o(beyond_coarse)
  );

  moesaic_shift_fine #(
      .Width(17)
  ) u_fine (
      .value_i (coarse_q),
      .sign_i  (sign_q),
      .shift_i (shift_4_q),
      .value_o (shifted),
      .beyond_o(beyond_fine)
  );

  assign rounded = {shifted[16], shifted[16:1]} + {16'd0, shifted[0]};
  assign saturates = beyond_q || beyond_fine || rounded[16] != rounded[15];

  always_ff @(posedge clk_i) begin
    biased_q <= {sum_i[31], sum_i} + (row_scale_i ? 33'd0 : {bias_i[31], bias_i});
    row_scale_0_q <= row_scale_i;
    multiplier_0_q <= multiplier_i;
    shift_0_q <= shift_i;

    shift_1_q <= row_scale_0_q ? row_shift_i : shift_0_q;
    shift_2_q <= shift_1_q;
    shift_3_q <= shift_2_q;

    coarse_q <= coarse;
    sign_q <= extended[43];
    beyond_q <= beyond_coarse;
    shift_4_q <= shift_3_q[1:0];

    result_o <= saturates ? {sign_q, {15{~sign_q}}} : rounded[15:0];
  end

endmodule
