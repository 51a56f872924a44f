// The layer-norm half of the vector unit, NormLanes elements per cycle; spec.arithmetic.layer_norm bit for bit.
//
// gamma and beta are read once per instruction. Each row is then read once: its words go into a row buffer while sum(x) and
// sum(x**2) accumulate; the variance, its square root and the root's reciprocal follow in a pipeline of their own; the row is
// normalised from the buffer. The buffer holds four rows, so the three phases of successive rows overlap.
module layer_norm #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned NormLanes   = 4
) (
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         instr_valid_i,
    output logic         instr_ready_o,
    input  logic [511:0] instr_i,
    output logic         done_o,
    output logic         fault_o,
    output logic [3:0]   fault_cause_o,
    output logic         busy_o,

    output logic                      act_rd_valid_o,
    input  logic                      act_rd_ready_i,
    output logic [31:0]               act_rd_address_o,
    input  logic                      act_rd_data_valid_i,
    input  logic [16*TileColumns-1:0] act_rd_data_i,
    input  logic                      act_rd_fault_i,
    output logic                      act_wr_valid_o,
    input  logic                      act_wr_ready_i,
    output logic [31:0]               act_wr_address_o,
    output logic [16*TileColumns-1:0] act_wr_data_o,
    output logic [2*TileColumns-1:0]  act_wr_strobe_o,
    input  logic                      act_wr_fault_i
);

  localparam int unsigned WidthMax     = 1024;
  localparam int unsigned HalfShift    = $clog2(TileColumns);
  localparam int unsigned WordShift    = HalfShift + 1;
  localparam int unsigned WordBits     = 16 * TileColumns;
  localparam int unsigned RowWords     = WidthMax / TileColumns;
  localparam int unsigned RowWordBits  = $clog2(RowWords);
  localparam int unsigned Slots        = 4;                              // rows in the buffer
  localparam int unsigned Steps        = TileColumns / NormLanes;        // cycles per word
  localparam int unsigned StepBits     = (Steps > 1) ? $clog2(Steps) : 1;
  localparam int unsigned OutputGroups = 16;                             // in flight at most; the pipeline alone holds 12
  localparam int unsigned TotalWidth   = 26;                             // |sum(x)| <= 2**25
  localparam int unsigned SquaresWidth = 41;                             // sum(x**2) <= 2**40
  localparam int unsigned VarianceWidth = 52;

  if (NormLanes * Steps != TileColumns) begin : gen_check
    $fatal(1, "layer_norm: NormLanes must divide TileColumns");
  end

  isa_pkg::layer_norm_t instr;
  assign instr = instr_i;

  logic bad, start, busy, finished;

  assign bad    = instr.columns == '0 || instr.columns > 16'(WidthMax);
  assign busy_o = busy;

  unit_state u_state (
      .clk_i,
      .rst_ni,
      .instr_valid_i,
      .instr_ready_o,
      .refuse_i      (bad),
      .refuse_cause_i(isa_pkg::FAULT_BAD_INSTRUCTION),
      .memory_fault_i(act_rd_fault_i || act_wr_fault_i),
      .finished_i    (finished),
      .start_o       (start),
      .busy_o        (busy),
      .done_o,
      .fault_o,
      .fault_cause_o
  );

  // Shape of the instruction.
  logic [10:0] columns_q;
  logic [RowWordBits-1:0] last_word_q;   // index of a row's last word
  logic [TileColumns-1:0] last_mask_q;   // its valid elements
  logic [15:0] last_row_q;
  logic [4:0] shift_q;

  always_ff @(posedge clk_i) begin
    if (start) begin
      columns_q   <= 11'(instr.columns);
      last_word_q <= RowWordBits'((instr.columns - 16'd1) >> HalfShift);
      last_row_q  <= instr.rows - 16'd1;
      shift_q     <= 5'(instr.shift);
      for (int l = 0; l < int'(TileColumns); l++) begin
        last_mask_q[l] <= HalfShift'(instr.columns - 16'd1) >= HalfShift'(l);
      end
    end
  end

  // --- read requests: the parameters, then the rows, one word every Steps cycles ------------------------------------

  logic rd_parameters_q, rd_rows_q, rd_grant, rd_row_end, slot_free, slot_taken, slot_released;
  logic [31:0] rd_parameter_q, rd_address_q, next_row;
  logic [RowWordBits-1:0] rd_word_q;
  logic rd_beta_q;
  logic [15:0] rd_row_q;
  logic [StepBits-1:0] rd_pause_q;
  logic [1:0] rd_slot_q;
  logic [2:0] slots_used_q;

  assign slot_free        = rd_word_q != '0 || slots_used_q != 3'(Slots);
  assign act_rd_valid_o   = rd_parameters_q || (rd_rows_q && rd_pause_q == '0 && slot_free);
  assign act_rd_address_o = rd_parameters_q ? rd_parameter_q : rd_address_q;
  assign rd_grant         = act_rd_valid_o && act_rd_ready_i;
  assign rd_row_end       = rd_word_q == last_word_q;
  assign slot_taken       = rd_grant && !rd_parameters_q && rd_word_q == '0;

  row_address u_source (
      .clk_i,
      .start_i  (start),
      .base_i   (instr.source_address >> WordShift),
      .pitch_i  (instr.source_pitch >> WordShift),
      .next_i   (rd_grant && !rd_parameters_q && rd_row_end),
      .next_o   (next_row)
  );

  always_ff @(posedge clk_i) begin
    if (rd_pause_q != '0) rd_pause_q <= rd_pause_q - 1'b1;
    if (start) begin
      rd_parameters_q <= 1'b1;
      rd_parameter_q  <= instr.param_address >> WordShift;
      rd_beta_q       <= 1'b0;
      rd_rows_q       <= instr.rows != '0;
      rd_row_q        <= '0;
      rd_word_q       <= '0;
      rd_slot_q       <= '0;
      rd_pause_q      <= '0;
      rd_address_q    <= instr.source_address >> WordShift;
    end else if (rd_grant && rd_parameters_q) begin
      rd_parameter_q <= rd_parameter_q + 32'd1;
      rd_beta_q      <= !rd_beta_q;
      if (rd_beta_q) rd_word_q <= rd_row_end ? '0 : rd_word_q + 1'b1;
      if (rd_beta_q && rd_row_end) rd_parameters_q <= 1'b0;
    end else if (rd_grant) begin
      rd_pause_q   <= StepBits'(Steps - 1);
      rd_address_q <= rd_row_end ? next_row : rd_address_q + 32'd1;
      rd_word_q  <= rd_row_end ? '0 : rd_word_q + 1'b1;
      if (rd_row_end) begin
        rd_row_q  <= rd_row_q + 16'd1;
        rd_slot_q <= rd_slot_q + 2'd1;
        if (rd_row_q == last_row_q) rd_rows_q <= 1'b0;
      end
    end
    if (!rst_ni) begin
      rd_parameters_q <= 1'b0;
      rd_rows_q       <= 1'b0;
    end
    if (!rst_ni || start) slots_used_q <= '0;
    else slots_used_q <= slots_used_q + 3'(slot_taken) - 3'(slot_released);
  end

  // What each answer is, two cycles after its grant.
  logic [2:1] answer_parameter_q, answer_beta_q, answer_last_q;
  logic [2:1][RowWordBits-1:0] answer_word_q;
  logic [2:1][1:0] answer_slot_q;
  logic answer, answer_row;

  always_ff @(posedge clk_i) begin
    answer_parameter_q <= {answer_parameter_q[1], rd_parameters_q};
    answer_beta_q      <= {answer_beta_q[1], rd_beta_q};
    answer_last_q      <= {answer_last_q[1], rd_row_end};
    answer_word_q      <= {answer_word_q[1], rd_word_q};
    answer_slot_q      <= {answer_slot_q[1], rd_slot_q};
  end
  assign answer     = act_rd_data_valid_i && busy;
  assign answer_row = answer && !answer_parameter_q[2];

  // --- buffers -------------------------------------------------------------------------------------------------------

  (* ram_style = "block" *) logic [WordBits-1:0] row_buffer[Slots * RowWords];
  (* ram_style = "distributed" *) logic [WordBits-1:0] gamma_buffer[RowWords];
  (* ram_style = "distributed" *) logic [WordBits-1:0] beta_buffer[RowWords];
  logic [WordBits-1:0] x_word_q, gamma_word_q, beta_word_q;
  logic [RowWordBits-1:0] nm_word_q;
  logic [1:0] nm_slot_q;

  always_ff @(posedge clk_i) begin
    if (answer_row) row_buffer[{answer_slot_q[2], answer_word_q[2]}] <= act_rd_data_i;
  end
  always_ff @(posedge clk_i) begin
    if (answer && answer_parameter_q[2] && !answer_beta_q[2]) gamma_buffer[answer_word_q[2]] <= act_rd_data_i;
  end
  always_ff @(posedge clk_i) begin
    if (answer && answer_parameter_q[2] && answer_beta_q[2]) beta_buffer[answer_word_q[2]] <= act_rd_data_i;
  end
  always_ff @(posedge clk_i) begin
    x_word_q     <= row_buffer[{nm_slot_q, nm_word_q}];
    gamma_word_q <= gamma_buffer[nm_word_q];
    beta_word_q  <= beta_buffer[nm_word_q];
  end

  // --- statistics: NormLanes elements per cycle, elements beyond the row count as 0 ----------------------------------

  logic [WordBits-1:0] st_word_q;
  logic [TileColumns-1:0] st_mask_q;
  logic st_active_q, st_last_q;
  logic [StepBits-1:0] st_step_q;
  logic [3:1] sa_valid_q, sa_last_q;
  logic [NormLanes-1:0][15:0] sa_x_q, sb_x_q;
  logic [NormLanes-1:0][31:0] sb_square_q;
  logic [TotalWidth-1:0] sb_total, sc_total_q, total_q;
  logic [SquaresWidth-1:0] sb_squares, sc_squares_q, squares_q;
  logic sum_first_q, sum_valid_q;

  always_comb begin
    sb_total   = '0;
    sb_squares = '0;
    for (int l = 0; l < int'(NormLanes); l++) begin
      sb_total   = sb_total + TotalWidth'($signed(sb_x_q[l]));
      sb_squares = sb_squares + SquaresWidth'(sb_square_q[l]);
    end
  end

  always_ff @(posedge clk_i) begin
    if (answer_row) begin
      st_word_q <= act_rd_data_i;
      st_mask_q <= answer_last_q[2] ? last_mask_q : '1;
      st_last_q <= answer_last_q[2];
      st_step_q <= '0;
    end else begin
      st_word_q <= st_word_q >> (16 * NormLanes);
      st_mask_q <= st_mask_q >> NormLanes;
      st_step_q <= st_step_q + 1'b1;
    end
    for (int l = 0; l < int'(NormLanes); l++) begin
      sa_x_q[l]      <= st_mask_q[l] ? st_word_q[16*l+:16] : '0;
      sb_square_q[l] <= 32'($signed(sa_x_q[l])) * 32'($signed(sa_x_q[l]));
    end
    sb_x_q       <= sa_x_q;
    sc_total_q   <= sb_total;
    sc_squares_q <= sb_squares;
    if (sa_valid_q[3]) begin
      total_q     <= (sum_first_q ? '0 : total_q) + sc_total_q;
      squares_q   <= (sum_first_q ? '0 : squares_q) + sc_squares_q;
      sum_first_q <= sa_last_q[3];
    end
    sa_last_q <= {sa_last_q[2:1], st_last_q && st_step_q == StepBits'(Steps - 1)};
    if (!rst_ni) begin
      st_active_q <= 1'b0;
      sa_valid_q  <= '0;
      sum_first_q <= 1'b1;
      sum_valid_q <= 1'b0;
    end else begin
      st_active_q <= answer_row || (st_active_q && st_step_q != StepBits'(Steps - 1));
      sa_valid_q  <= {sa_valid_q[2:1], st_active_q};
      sum_valid_q <= sa_valid_q[3] && sa_last_q[3];
    end
  end

  // --- variance and its reciprocal square root -----------------------------------------------------------------------
  // Stages: 1 products, 2 and 3 for the multipliers' own registers, 4 variance, 5 its length in bit pairs, 6 scaled to 32 bits.

  logic [6:1] va_valid_q;
  logic [6:1][TotalWidth-1:0] va_total_q;
  logic [3:1][VarianceWidth-1:0] va_product_q, va_square_q;
  logic [5:4][VarianceWidth-1:0] variance_q;
  logic [6:5][4:0] va_pairs_q;
  logic [31:0] va_scaled_q;
  logic [4:0] variance_pairs;

  always_comb begin
    variance_pairs = '0;
    for (int p = 0; p < int'(VarianceWidth / 2); p++) if (variance_q[4][2*p+:2] != '0) variance_pairs = 5'(p + 1);
  end

  always_ff @(posedge clk_i) begin
    va_total_q    <= {va_total_q[5:1], total_q};
    va_product_q  <= {va_product_q[2:1], VarianceWidth'(columns_q) * VarianceWidth'(squares_q)};
    va_square_q   <= {va_square_q[2:1], VarianceWidth'($signed(total_q)) * VarianceWidth'($signed(total_q))};
    variance_q[4] <= va_product_q[3] - va_square_q[3];
    variance_q[5] <= variance_q[4];
    va_pairs_q    <= {va_pairs_q[5], variance_pairs};
    // variance * 2**(32 - 2 * pairs), so that one of the top two bits is set
    va_scaled_q   <= 32'((variance_q[5] << (6'(VarianceWidth) - {va_pairs_q[5], 1'b0})) >> (VarianceWidth - 32));
    if (!rst_ni) va_valid_q <= '0;
    else va_valid_q <= {va_valid_q[5:1], sum_valid_q};
  end

  // No more rows than buffer slots are under way, so these queues never refuse.
  logic scaled_ready, row_ready, mantissa_ready;
  logic scaled_valid, row_valid, mantissa_valid, nm_row_end;
  logic [31:0] scaled;
  logic root_ready, root_valid, root_reciprocal_valid;
  logic [15:0] root, root_reciprocal, nm_mantissa;
  logic [5:0] root_bits;
  logic [TotalWidth-1:0] nm_total;
  logic [4:0] nm_pairs;

  fifo #(
      .Width(32),
      .Depth(Slots)
  ) u_scaled (
      .clk_i,
      .rst_ni,
      .valid_i(va_valid_q[6]),
      .ready_o(scaled_ready),
      .data_i (va_scaled_q),
      .valid_o(scaled_valid),
      .ready_i(root_ready),
      .data_o (scaled)
  );

  isqrt u_isqrt (
      .clk_i,
      .rst_ni,
      .valid_i   (scaled_valid),
      .ready_o   (root_ready),
      .radicand_i(scaled),
      .valid_o   (root_valid),
      .root_o    (root)
  );

  // floor(2**31 / root): the root has 16 bits, or is 0 for a constant row, whose mantissa is then 0.
  reciprocal #(
      .Width(16)
  ) u_reciprocal (
      .clk_i,
      .rst_ni,
      .valid_i   (root_valid),
      .value_i   (root),
      .valid_o   (root_reciprocal_valid),
      .mantissa_o(root_reciprocal),
      .bits_o    (root_bits)
  );

  fifo #(
      .Width(TotalWidth + 5),
      .Depth(Slots)
  ) u_row (
      .clk_i,
      .rst_ni,
      .valid_i(va_valid_q[6]),
      .ready_o(row_ready),
      .data_i ({va_pairs_q[6], va_total_q[6]}),
      .valid_o(row_valid),
      .ready_i(nm_row_end),
      .data_o ({nm_pairs, nm_total})
  );

  fifo #(
      .Width(16),
      .Depth(Slots)
  ) u_mantissa (
      .clk_i,
      .rst_ni,
      .valid_i(root_reciprocal_valid),
      .ready_o(mantissa_ready),
      .data_i (root_reciprocal),
      .valid_o(mantissa_valid),
      .ready_i(nm_row_end),
      .data_o (nm_mantissa)
  );

  // --- normalisation -------------------------------------------------------------------------------------------------

  logic [StepBits-1:0] nm_step_q;
  logic nm_issue, nm_group_end, wr_grant;
  logic [$clog2(OutputGroups):0] in_flight_q;

  assign nm_issue      = mantissa_valid && (nm_step_q != '0 || in_flight_q != ($clog2(OutputGroups) + 1)'(OutputGroups));
  assign nm_group_end  = nm_step_q == StepBits'(Steps - 1);
  assign nm_row_end    = nm_issue && nm_group_end && nm_word_q == last_word_q;
  assign slot_released = nm_row_end;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start) begin
      nm_step_q   <= '0;
      nm_word_q   <= '0;
      nm_slot_q   <= '0;
      in_flight_q <= '0;
    end else begin
      if (nm_issue) begin
        nm_step_q <= nm_group_end ? '0 : nm_step_q + 1'b1;
        if (nm_group_end) nm_word_q <= (nm_word_q == last_word_q) ? '0 : nm_word_q + 1'b1;
        if (nm_row_end) nm_slot_q <= nm_slot_q + 2'd1;
      end
      in_flight_q <= in_flight_q + ($clog2(OutputGroups) + 1)'(nm_issue && nm_step_q == '0)
                                 - ($clog2(OutputGroups) + 1)'(wr_grant);
    end
  end

  // Stages: 1 words from the buffers, 2 lanes, 3 width * x, 4 centred, 5 times mantissa, 6 + half, 7 y, 8 y * gamma,
  // 9 + beta + half, 10 result, 11 the half word collected.
  logic [11:1] nm_valid_q, nm_end_q;
  logic [10:1][StepBits-1:0] nm_step_d_q;
  logic nm_last_word_q;
  logic [3:1][TotalWidth-1:0] nm_total_q;
  logic [4:1][15:0] nm_mantissa_q;
  logic [6:1][5:0] nm_shift_q;
  logic [9:2][NormLanes-1:0] mask_q;
  logic [NormLanes-1:0][15:0] x_q;
  logic [7:2][NormLanes-1:0][15:0] gamma_q;
  logic [8:2][NormLanes-1:0][15:0] beta_q;
  logic [NormLanes-1:0][26:0] scaled_x_q, centred_q;       // |width * x - sum(x)| < 2**26
  logic [NormLanes-1:0][44:0] product_q, rounded_q;
  logic [NormLanes-1:0][15:0] y, y_q;
  logic [NormLanes-1:0][33:0] affine_q, result_sum_q;
  logic [NormLanes-1:0][7:0] result, result_q;
  logic [TileColumns-1:0][7:0] group_q;
  logic [44:0] y_half;
  logic [33:0] result_half;
  logic [NormLanes-1:0][44:0] y_shifted;
  logic [NormLanes-1:0][33:0] result_shifted;

  assign y_half      = 45'd1 << (nm_shift_q[5] - 6'd1);
  assign result_half = (shift_q == '0) ? '0 : 34'd1 << (shift_q - 5'd1);

  always_comb begin
    for (int l = 0; l < int'(NormLanes); l++) begin
      y_shifted[l] = 45'($signed(rounded_q[l]) >>> nm_shift_q[6]);
      y[l]         = y_shifted[l][15:0];
      if ($signed(y_shifted[l]) > 45'sd32767) y[l] = 16'h7fff;
      if ($signed(y_shifted[l]) < -45'sd32768) y[l] = 16'h8000;
      result_shifted[l] = 34'($signed(result_sum_q[l]) >>> shift_q);
      result[l]         = result_shifted[l][7:0];
      if ($signed(result_shifted[l]) > 34'sd127) result[l] = 8'h7f;
      if ($signed(result_shifted[l]) < -34'sd128) result[l] = 8'h80;
      if (!mask_q[9][l]) result[l] = '0;
    end
  end

  always_ff @(posedge clk_i) begin
    nm_end_q       <= {nm_end_q[10:1], nm_group_end};
    nm_step_d_q    <= {nm_step_d_q[9:1], nm_step_q};
    nm_last_word_q <= nm_word_q == last_word_q;
    nm_total_q     <= {nm_total_q[2:1], nm_total};
    nm_mantissa_q  <= {nm_mantissa_q[3:1], nm_mantissa};
    nm_shift_q     <= {nm_shift_q[5:1], 6'(nm_pairs) + 6'd5};
    for (int l = 0; l < int'(NormLanes); l++) begin
      x_q[l]          <= x_word_q[16*(nm_step_d_q[1]*NormLanes+l)+:16];
      gamma_q[2][l]   <= gamma_word_q[16*(nm_step_d_q[1]*NormLanes+l)+:16];
      beta_q[2][l]    <= beta_word_q[16*(nm_step_d_q[1]*NormLanes+l)+:16];
      mask_q[2][l]    <= !nm_last_word_q || last_mask_q[nm_step_d_q[1]*NormLanes+l];
      scaled_x_q[l]   <= 27'($signed(x_q[l])) * 27'($signed({1'b0, columns_q}));
      centred_q[l]    <= scaled_x_q[l] - 27'($signed(nm_total_q[3]));
      product_q[l]    <= 45'($signed(centred_q[l])) * 45'($signed({1'b0, nm_mantissa_q[4]}));
      rounded_q[l]    <= product_q[l] + y_half;
      affine_q[l]     <= 34'($signed(y_q[l])) * 34'($signed(gamma_q[7][l]));
      result_sum_q[l] <= affine_q[l] + {{8{beta_q[8][l][15]}}, beta_q[8][l], 10'd0} + result_half;
    end
    gamma_q[7:3] <= gamma_q[6:2];
    beta_q[8:3]  <= beta_q[7:2];
    mask_q[9:3]  <= mask_q[8:2];
    y_q          <= y;
    result_q     <= result;
    for (int l = 0; l < int'(NormLanes); l++) group_q[nm_step_d_q[10]*NormLanes+l] <= result_q[l];
    if (!rst_ni) nm_valid_q <= '0;
    else nm_valid_q <= {nm_valid_q[10:1], nm_issue};
  end

  // --- writes: half a word per word read -----------------------------------------------------------------------------

  logic output_ready, writing;

  row_writer #(
      .TileColumns(TileColumns),
      .Groups     (1),
      .Depth      (OutputGroups)
  ) u_writer (
      .clk_i,
      .rst_ni,
      .start_i      (start),
      .rows_i       (instr.rows),
      .address_i    (instr.destination_address),
      .pitch_i      (instr.destination_pitch),
      .last_step_i  (16'(last_word_q)),
      .last_groups_i(1'b1),
      .valid_i      (nm_valid_q[11] && nm_end_q[11]),
      .ready_o      (output_ready),
      .data_i       (group_q),
      .active_o     (writing),
      .grant_o      (wr_grant),
      .act_wr_valid_o,
      .act_wr_ready_i,
      .act_wr_address_o,
      .act_wr_data_o,
      .act_wr_strobe_o
  );

  // A fault shows in the cycle after its grant, the first in which finished can be true. Without rows, the parameters must have
  // been answered before another instruction may read.
  assign finished = !rd_parameters_q && !rd_rows_q && !writing && answer_parameter_q == '0;

`ifndef SYNTHESIS
  // Registers start with anything, so nothing is checked before the first reset.
  logic reset_seen_q;
  initial reset_seen_q = 1'b0;
  always @(posedge clk_i) begin
    if (!rst_ni) reset_seen_q <= 1'b1;
    if (rst_ni && reset_seen_q) begin
      assert (output_ready || !nm_valid_q[11] || !nm_end_q[11]) else $error("layer_norm: output queue overflow");
      assert ((scaled_ready && row_ready) || !va_valid_q[6]) else $error("layer_norm: row queue overflow");
      assert (mantissa_ready || !root_reciprocal_valid) else $error("layer_norm: mantissa queue overflow");
      assert (row_valid || !mantissa_valid) else $error("layer_norm: row queue empty");
    end
  end
`endif

  logic unused;
  assign unused = &{1'b0, instr.unused_328, instr.shift[7:5], instr.tag, instr.unused_89, instr.signal_mask, instr.overlap, instr.unused_57,
                    instr.wait_mask, instr.unused_8, instr.opcode, output_ready, scaled_ready, row_ready, mantissa_ready,
                    row_valid, root_bits};

endmodule
