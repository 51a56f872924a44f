// moesaic_requantise: saturate16(round_shift(clip27(sum + bias) * multiplier, shift)) of all operands, in three parts, none of which holds a
// multiplier that a solver has to see through.
//
// 1. The operands of the multiplication are clip27(sum + bias), or of the sum alone, and the multiplier. 2. The slice multiplies them: the
// register behind holds that very product. 3. From any product on (the script of the task cuts it free), the result is that of
// shifting, rounding and saturating; |product| <= 2**26 * 65,535 < 2**42 (arithmetic_lemmas.py).
module requantise_proof #(
    parameter int unsigned Part = 1
) (
    input logic        clk_i,
    input logic        row_scale_i,
    input logic [31:0] sum_i,
    input logic [31:0] bias_i,
    input logic [15:0] multiplier_i,
    input logic [5:0]  shift_i,
    input logic [15:0] row_multiplier_i,
    input logic [5:0]  row_shift_i
);

  logic [15:0] result;

  moesaic_requantise u_lane (
      .clk_i,
      .row_scale_i,
      .sum_i,
      .bias_i,
      .multiplier_i,
      .shift_i,
      .row_multiplier_i,
      .row_shift_i,
      .result_o(result)
  );

  // What entered, by its age in cycles.
  logic [6:1] row_scale_q;
  logic [6:1][31:0] sum_q, bias_q;
  logic [6:1][15:0] multiplier_q;
  logic [6:1][5:0] shift_q;
  logic [5:0] age_q = 6'd0;
  logic [2:1][47:0] product_q;
  logic [2:1][5:0] product_shift_q;
  logic signed [26:0] operand_q;
  logic [17:0] factor_q;

  // The definition (moesaic.spec.arithmetic), in integers wide enough for all of it.
  logic signed [33:0] biased, clipped;
  logic signed [47:0] product, rounded;
  logic [5:0] shift;
  logic signed [15:0] saturated;

  always_comb begin
    biased = 34'(signed'(sum_q[2])) + (row_scale_q[2] ? 34'sd0 : 34'(signed'(bias_q[2])));
    clipped = biased > 34'sd67108863 ? 34'sd67108863 : biased < -34'sd67108864 ? -34'sd67108864 : biased;
    product = product_q[2];
    shift = product_shift_q[2];
    rounded = shift == '0 ? product : (product + (48'sd1 <<< (shift - 6'd1))) >>> shift;
    if (shift > 6'd44) rounded = 48'sd0;    // |product| < 2**42: half a unit or less, which rounds to zero
    saturated = rounded > 48'sd32767 ? 16'sd32767 : rounded < -48'sd32768 ? -16'sd32768 : 16'(rounded);
    product_in_range: assume (u_lane.product[47:42] == '0 || (u_lane.product[47:42] == '1 && u_lane.product[41:0] != '0));
  end

  always_ff @(posedge clk_i) begin
    row_scale_q  <= {row_scale_q[5:1], row_scale_i};
    sum_q        <= {sum_q[5:1], sum_i};
    bias_q       <= {bias_q[5:1], bias_i};
    // Those of a row come a cycle after the sum.
    multiplier_q <= {multiplier_q[5:2], row_scale_q[1] ? row_multiplier_i : multiplier_q[1], multiplier_i};
    shift_q      <= {shift_q[5:2], row_scale_q[1] ? row_shift_i : shift_q[1], shift_i};
    product_q    <= {product_q[1], u_lane.product};
    product_shift_q <= {product_shift_q[1], u_lane.shift_3_q};
    operand_q    <= u_lane.u_slice.a_q;
    factor_q     <= u_lane.u_slice.b_q;
    if (age_q != 6'd8) age_q <= age_q + 6'd1;
  end

  if (Part == 1) begin : gen_operands
    always_ff @(posedge clk_i) begin
      if (age_q == 6'd8) begin
        clips_the_sum: assert (34'(signed'(u_lane.u_slice.a_q)) == clipped);
        multiplies_by_its_factor: assert (u_lane.u_slice.b_q == {2'b00, multiplier_q[2]});
        shift_goes_along: assert (u_lane.shift_3_q == shift_q[4]);
        clips_high: cover (u_lane.u_slice.a_q == 27'h3FFFFFF && biased != 34'sd67108863);
        clips_low: cover (u_lane.u_slice.a_q == 27'h4000000 && biased != -34'sd67108864);
      end
    end
  end else if (Part == 2) begin : gen_product
    always_ff @(posedge clk_i) begin
      if (age_q != 6'd0) begin
        product_of_both: assert (u_lane.u_slice.product_q == 45'(operand_q) * 45'(signed'(factor_q)));
        adds_nothing: assert (u_lane.u_slice.c_q == '0);
        a_product: cover (u_lane.u_slice.product_q == 45'd6);
      end
    end
  end else begin : gen_result
    always_ff @(posedge clk_i) begin
      if (age_q > 6'd1) begin
        shifts_rounds_saturates: assert (result == saturated);
        saturates_high: cover (result == 16'h7FFF && shift == 6'd5);
        saturates_low: cover (result == 16'h8000);
        rounds_up: cover (result == 16'd1 && shift == 6'd42);
      end
    end
  end

endmodule
