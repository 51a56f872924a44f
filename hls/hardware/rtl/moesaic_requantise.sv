// One lane of the requantiser: saturate16(round_shift(clip27(sum + bias) * multiplier, shift)), halves towards plus
// infinity, as spec/arithmetic.py defines it. Saturating to 16 bits first changes no later saturation to 8 or 10 bits.
//
// A sum enters in the cycle of enable_i[0]; enable_i[s] marks it in stage s, and the result shows six cycles after the sum.
// With row_scale_i, given with the sum, the bias is not added, and row_multiplier_i and row_shift_i, due one cycle after the
// sum, are used.
module moesaic_requantise (
    input  logic               clk_i,
    input  logic        [5:0]  enable_i,
    input  logic               row_scale_i,
    input  logic signed [31:0] sum_i,
    input  logic signed [31:0] bias_i,
    input  logic        [15:0] multiplier_i,
    input  logic        [5:0]  shift_i,
    input  logic        [15:0] row_multiplier_i,
    input  logic        [5:0]  row_shift_i,
    output logic signed [15:0] result_o
);

  localparam logic signed [32:0] ClipMax = 33'sd67108863;
  localparam logic signed [32:0] ClipMin = -33'sd67108864;

  // stage 0: bias
  logic signed [32:0] biased_q;
  logic row_scale_0_q;
  logic [15:0] multiplier_0_q;
  logic [5:0] shift_0_q;
  // stage 1: clip
  logic signed [26:0] clipped_q;
  logic signed [16:0] multiplier_1_q;
  logic [5:0] shift_1_q;
  // stage 2: multiply
  logic signed [43:0] product_q;
  logic [5:0] shift_2_q;
  // stage 3: half of the last bit
  logic signed [43:0] rounded_q;
  logic [5:0] shift_3_q;
  // stage 4: shift by whole bytes
  logic signed [43:0] bytes_q;
  logic [2:0] shift_4_q;
  // stage 5: shift by bits and saturate
  logic signed [43:0] shifted;

  // |product| < 2**42, so that a shift by 43 or more rounds every product to zero.
  logic signed [43:0] half;

  assign half = (44'sd1 << shift_2_q) >> 1;
  assign shifted = bytes_q >>> shift_4_q;

  always_ff @(posedge clk_i) begin
    if (enable_i[0]) begin
      biased_q <= {sum_i[31], sum_i} + (row_scale_i ? 33'd0 : {bias_i[31], bias_i});
      row_scale_0_q <= row_scale_i;
      multiplier_0_q <= multiplier_i;
      shift_0_q <= shift_i;
    end
    if (enable_i[1]) begin
      clipped_q <= (biased_q > ClipMax) ? 27'(ClipMax) : (biased_q < ClipMin) ? 27'(ClipMin) : 27'(biased_q);
      multiplier_1_q <= {1'b0, row_scale_0_q ? row_multiplier_i : multiplier_0_q};
      shift_1_q <= row_scale_0_q ? row_shift_i : shift_0_q;
    end
    if (enable_i[2]) begin
      product_q <= clipped_q * multiplier_1_q;
      shift_2_q <= shift_1_q;
    end
    if (enable_i[3]) begin
      rounded_q <= (shift_2_q > 6'd42) ? '0 : product_q + half;
      shift_3_q <= shift_2_q;
    end
    if (enable_i[4]) begin
      bytes_q <= rounded_q >>> {shift_3_q[5:3], 3'b000};
      shift_4_q <= shift_3_q[2:0];
    end
    if (enable_i[5]) begin
      if (shifted > 44'sd32767) result_o <= 16'sd32767;
      else if (shifted < -44'sd32768) result_o <= -16'sd32768;
      else result_o <= 16'(shifted);
    end
  end

endmodule
