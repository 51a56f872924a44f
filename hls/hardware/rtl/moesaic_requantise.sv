// One lane of the requantiser: saturate16(round_shift(clip27(sum + bias) * multiplier, shift)), halves towards plus
// infinity, as spec/arithmetic.py defines it. Saturating to 16 bits first changes no later saturation to 8 or 10 bits.
//
// A sum enters every cycle, and its result shows six cycles later. With row_scale_i, given with the sum, the bias is not added,
// and row_multiplier_i and row_shift_i, due one cycle after the sum, are used. The multiplication and the rounding are one
// DSP48E2 with all its registers: clipped sum and multiplier, product and half of the last bit that stays, their sum.
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

  // |product| < 2**42: a shift by 43 rounds each to zero, as every longer one does.
  localparam logic [5:0] LongestShift = 6'd43;

  // stage 0: bias
  logic [32:0] biased_q;
  logic row_scale_0_q;
  logic [15:0] multiplier_0_q;
  logic [5:0] shift_0_q;
  // stage 1: clip
  logic [26:0] clipped;
  logic [15:0] multiplier;
  logic [5:0] shift, shift_1_q;
  // stage 2: multiply
  logic [43:0] half;
  logic [5:0] shift_2_q;
  // stage 3: add half of the last bit; the sum is below 2**43
  /* verilator lint_off UNUSEDSIGNAL */
  logic [47:0] rounded, cascade;
  /* verilator lint_on UNUSEDSIGNAL */
  logic [5:0] shift_3_q;
  // stage 4: shift by whole bytes
  logic [43:0] bytes_q;
  logic [2:0] shift_4_q;
  // stage 5: shift by bits and saturate
  logic [43:0] shifted;

  assign clipped = (biased_q[32:26] == {7{biased_q[32]}}) ? biased_q[26:0] : {biased_q[32], {26{~biased_q[32]}}};
  assign multiplier = row_scale_0_q ? row_multiplier_i : multiplier_0_q;
  assign shift = row_scale_0_q ? row_shift_i : shift_0_q;
  assign half = (44'd1 << shift_1_q) >> 1;
  assign shifted = $signed(bytes_q) >>> shift_4_q;

  moesaic_dsp48_mac u_slice (
      .clk_i,
      .a_i      (clipped),
      .b_i      ({2'b00, multiplier}),
      .c_i      ({4'd0, half}),
      .cascade_i('0),
      .cascade_o(cascade),
      .sum_o    (rounded)
  );

  always_ff @(posedge clk_i) begin
    biased_q <= {sum_i[31], sum_i} + (row_scale_i ? 33'd0 : {bias_i[31], bias_i});
    row_scale_0_q <= row_scale_i;
    multiplier_0_q <= multiplier_i;
    shift_0_q <= shift_i;

    shift_1_q <= (shift > LongestShift) ? LongestShift : shift;
    shift_2_q <= shift_1_q;
    shift_3_q <= shift_2_q;

    bytes_q <= $signed(rounded[43:0]) >>> {shift_3_q[5:3], 3'b000};
    shift_4_q <= shift_3_q[2:0];

    result_o <= (shifted[43:15] == {29{shifted[43]}}) ? shifted[15:0] : {shifted[43], {15{~shifted[43]}}};
  end

endmodule
