// What layer norm multiplies and adds in one row, from the row's sums; moesaic.spec.arithmetic.layer_norm and reciprocal_square_root.
//
// With T = sum(x) and V = width * sum(x**2) - T**2, y = (width * x - T) / sqrt(V) in Q10 is
// round_shift(width * x * mantissa - T * mantissa, shift), of which multiplier_o is width * mantissa and offset_o the rest with
// the half that rounds. Two multipliers of 27 x 18 bits do all products, one after the other. The root takes 9 cycles a row; rows
// wait for it in queues of Rows entries, and the client never has more than so many under way.
module moesaic_norm_scale #(
    parameter int unsigned Rows = 4
) (
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic [$clog2(moesaic_isa_pkg::NORM_WIDTH_MAX):0] width_i,
    input  logic        valid_i,
    input  logic [25:0] total_i,      // sum(x), |T| <= 2**25
    input  logic [40:0] squares_i,    // sum(x**2) <= 2**40
    output logic        valid_o,
    output logic [25:0] multiplier_o,
    output logic [44:0] offset_o,
    output logic [5:0]  shift_o
);

  localparam int unsigned TotalWidth    = 26;
  localparam int unsigned SquaresWidth  = 41;
  localparam int unsigned VarianceWidth = 52;

  // --- variance: four products, the total in pieces of 17 and 9 bits, the squares in pieces of 26 and 15 --------------

  logic sums_valid, sums_end, sums_ready;
  logic [TotalWidth-1:0] total;
  logic [SquaresWidth-1:0] squares;

  moesaic_fifo #(
      .Width($bits({squares, total})),
      .Depth(Rows)
  ) u_sums (
      .clk_i,
      .rst_ni,
      .valid_i,
      .ready_o(sums_ready),
      .data_i ({squares_i, total_i}),
      .valid_o(sums_valid),
      .ready_i(sums_end),
      .data_o ({squares, total})
  );

  // Stages: 1 operands, 2 product, 3 its second register, 4 sum, 5 length in bit pairs, 6 scaled to 32 bits.
  logic [1:0] va_step_q;
  logic [3:1] va_valid_q;
  logic [3:1][1:0] va_steps_q;
  logic [6:4] va_done_q;
  logic [26:0] va_a_q;
  logic [17:0] va_b_q;
  logic [44:0] va_m_q, va_p_q;
  logic [VarianceWidth-1:0] va_term, variance_q, va_length_q;
  logic [4:0] pairs, va_pairs_q, va_pairs_scaled_q;
  logic [31:0] va_scaled_q;

  assign sums_end = va_step_q == 2'd3;

  always_comb begin
    va_term = {{(VarianceWidth - 45) {va_p_q[44]}}, va_p_q};
    case (va_steps_q[3])
      2'd1: va_term = va_term << 17;
      2'd3: va_term = va_term << 26;
      default: ;
    endcase
    pairs = '0;
    for (int p = 0; p < int'(VarianceWidth / 2); p++) if (variance_q[2*p+:2] != '0) pairs = 5'(p + 1);
  end

  always_ff @(posedge clk_i) begin
    unique case (va_step_q)
      2'd0: {va_a_q, va_b_q} <= {total[25], total, 1'b0, total[16:0]};
      2'd1: {va_a_q, va_b_q} <= {total[25], total, {9{total[25]}}, total[25:17]};
      2'd2: {va_a_q, va_b_q} <= {1'b0, squares[25:0], 18'(width_i)};
      2'd3: {va_a_q, va_b_q} <= {27'(squares[40:26]), 18'(width_i)};
    endcase
    va_m_q <= $signed(va_a_q) * $signed(va_b_q);
    va_p_q <= va_m_q;
    case (va_steps_q[3])
      2'd0: variance_q <= -va_term;
      2'd1: variance_q <= variance_q - va_term;
      default: variance_q <= variance_q + va_term;
    endcase
    va_steps_q  <= {va_steps_q[2:1], va_step_q};
    va_length_q <= variance_q;
    va_pairs_q  <= pairs;
    // variance * 2**(32 - 2 * pairs), so that one of the top two bits is set
    va_scaled_q       <= 32'((va_length_q << (6'(VarianceWidth) - {va_pairs_q, 1'b0})) >> (VarianceWidth - 32));
    va_pairs_scaled_q <= va_pairs_q;
    if (!rst_ni) begin
      va_step_q  <= '0;
      va_valid_q <= '0;
      va_done_q  <= '0;
    end else begin
      if (sums_valid) va_step_q <= va_step_q + 2'd1;
      va_valid_q <= {va_valid_q[2:1], sums_valid};
      va_done_q  <= {va_done_q[5:4], va_valid_q[3] && va_steps_q[3] == 2'd3};
    end
  end

  // --- square root and its reciprocal ----------------------------------------------------------------------------------

  logic scaled_valid, scaled_ready, root_ready, root_valid, mantissa_valid;
  logic [31:0] scaled;
  logic [15:0] root, mantissa;

  moesaic_fifo #(
      .Width($bits(scaled)),
      .Depth(Rows)
  ) u_scaled (
      .clk_i,
      .rst_ni,
      .valid_i(va_done_q[6]),
      .ready_o(scaled_ready),
      .data_i (va_scaled_q),
      .valid_o(scaled_valid),
      .ready_i(root_ready),
      .data_o (scaled)
  );

  moesaic_isqrt u_isqrt (
      .clk_i,
      .rst_ni,
      .valid_i   (scaled_valid),
      .ready_o   (root_ready),
      .radicand_i(scaled),
      .valid_o   (root_valid),
      .root_o    (root)
  );

  // floor(2**31 / root): the root has 16 bits, or is 0 for a constant row, whose mantissa is then 0.
  moesaic_reciprocal #(
      .Width(16)
  ) u_reciprocal (
      .clk_i,
      .rst_ni,
      .valid_i   (root_valid),
      .value_i   (root),
      .valid_o   (mantissa_valid),
      .mantissa_o(mantissa),
      .bits_o    ()
  );

  // --- total * mantissa, then width * mantissa -------------------------------------------------------------------------

  logic [4:0] row_pairs;
  logic [TotalWidth-1:0] row_total;
  logic row_pairs_valid, row_pairs_ready, row_total_valid, row_total_ready;

  moesaic_fifo #(
      .Width($bits(row_total)),
      .Depth(Rows)
  ) u_total (
      .clk_i,
      .rst_ni,
      .valid_i,
      .ready_o(row_total_ready),
      .data_i (total_i),
      .valid_o(row_total_valid),
      .ready_i(mantissa_valid),
      .data_o (row_total)
  );

  moesaic_fifo #(
      .Width($bits(row_pairs)),
      .Depth(Rows)
  ) u_pairs (
      .clk_i,
      .rst_ni,
      .valid_i(va_done_q[6]),
      .ready_o(row_pairs_ready),
      .data_i (va_pairs_scaled_q),
      .valid_o(row_pairs_valid),
      .ready_i(valid_o),
      .data_o (row_pairs)
  );

  // Stages: 1 operands, 2 product, 3 its second register, 4 offset, beside the second product.
  logic [4:1] sc_valid_q;
  logic [26:0] sc_a_q;
  logic [17:0] sc_b_q;
  logic [44:0] sc_m_q, sc_p_q, sc_offset_q;

  always_ff @(posedge clk_i) begin
    sc_a_q      <= mantissa_valid ? {row_total[25], row_total} : 27'(width_i);
    sc_b_q      <= mantissa_valid ? 18'(mantissa) : sc_b_q;
    sc_m_q      <= $signed(sc_a_q) * $signed(sc_b_q);
    sc_p_q      <= sc_m_q;
    sc_offset_q <= (45'd1 << (6'(row_pairs) + 6'd4)) - sc_p_q;
    if (!rst_ni) sc_valid_q <= '0;
    else sc_valid_q <= {sc_valid_q[3:1], mantissa_valid};
  end

  assign valid_o      = sc_valid_q[4];
  assign multiplier_o = sc_p_q[25:0];
  assign offset_o     = sc_offset_q;
  assign shift_o      = 6'(row_pairs) + 6'd5;

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      sums_never_refused: assert ((sums_ready && row_total_ready) || !valid_i);
      variances_never_refused: assert ((scaled_ready && row_pairs_ready) || !va_done_q[6]);
      total_there_for_its_mantissa: assert (row_total_valid || !mantissa_valid);
      length_there_for_its_offset: assert (row_pairs_valid || !valid_o);
    end
  end
`endif

endmodule
