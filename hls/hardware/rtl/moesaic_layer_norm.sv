// The layer-norm half of the vector unit, NormLanes elements per cycle; moesaic.spec.arithmetic.layer_norm bit for bit.
//
// Each row is read once: its words go into a row buffer while sum(x) and sum(x**2) accumulate; norm_scale makes of them what the
// row is multiplied by and what is added; the row is normalised from the buffer. The buffer holds four rows, so the three phases
// of successive rows overlap. gamma and beta are read once per instruction, while the first rows need no read.
//
// All products have the three registers of a DSP48E2: squares; a row times its multiplier, plus its offset; y times gamma, plus beta and
// half of the last bit. Enables and the buffers' addresses have copies for each slice of a word, with 256 loads at most. Not reset:
// data, and what says something about data, next to the valid bits that are.
module moesaic_layer_norm #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned NormLanes   = 4
) (
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         instr_valid_i,
    output logic         instr_ready_o,
    input  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] instr_i,
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

  localparam int unsigned WidthMax     = moesaic_isa_pkg::NORM_WIDTH_MAX;
  localparam int unsigned HalfShift    = $clog2(TileColumns);
  localparam int unsigned WordShift    = HalfShift + 1;
  localparam int unsigned WordBits     = 16 * TileColumns;
  localparam int unsigned RowWords     = WidthMax / TileColumns;
  localparam int unsigned RowWordBits  = $clog2(RowWords);
  localparam int unsigned Slots        = 4;                              // rows in the buffer
  localparam int unsigned Steps        = TileColumns / NormLanes;        // cycles per word
  localparam int unsigned StepBits     = (Steps > 1) ? $clog2(Steps) : 1;
  localparam int unsigned Pause        = (Steps > 2) ? Steps - 2 : 0;    // from the grant of a word to the next one's choice
  localparam int unsigned OutputGroups = 16;                             // in flight at most; the pipeline alone holds 10
  localparam int unsigned TotalWidth   = 16 + $clog2(WidthMax);          // |sum(x)| <= 2**25
  localparam int unsigned SquaresWidth = 31 + $clog2(WidthMax);          // sum(x**2) <= 2**40

  if (NormLanes * Steps != TileColumns) begin : gen_check
    $fatal(1, "layer_norm: NormLanes is %0d, it must divide TileColumns, %0d", NormLanes, TileColumns);
  end

  moesaic_isa_pkg::layer_norm_t instr;
  assign instr = instr_i;

  logic start, busy, finished;

  assign busy_o = busy;

  moesaic_unit_state u_state (
      .clk_i,
      .rst_ni,
      .instr_valid_i,
      .instr_ready_o,
      .outside_i     (1'b0),
      .memory_fault_i(act_rd_fault_i || act_wr_fault_i),
      .finished_i    (finished),
      .start_o       (start),
      .busy_o        (busy),
      .done_o,
      .fault_o,
      .fault_cause_o
  );

  // Shape of the instruction.
  logic [$clog2(WidthMax):0] columns_q;
  logic [RowWordBits-1:0] last_word_q;   // index of a row's last word
  logic [TileColumns-1:0] last_mask_q;   // its valid elements
  logic [15:0] last_row_q;
  logic [4:0] shift_q;

  always_ff @(posedge clk_i) begin
    if (start) begin
      columns_q   <= ($clog2(WidthMax) + 1)'(instr.columns);
      last_word_q <= RowWordBits'((instr.columns - 16'd1) >> HalfShift);
      last_row_q  <= instr.rows - 16'd1;
      shift_q     <= 5'(instr.shift);
      for (int l = 0; l < int'(TileColumns); l++) begin
        last_mask_q[l] <= HalfShift'(instr.columns - 16'd1) >= HalfShift'(l);
      end
    end
  end

  // --- read requests: one word of the rows every Steps cycles, the parameters in between ------------------------------

  logic rd_rows_q, rd_row, rd_row_end, slot_free, slot_taken, slot_released;
  logic rd_parameters_q, rd_parameter, rd_beta_q, rd_free, rd_grant;
  logic [31:0] rd_parameter_address_q, rd_address_q, next_row;
  logic [RowWordBits-1:0] rd_word_q, rd_parameter_word_q;
  logic [15:0] rd_row_q;
  logic [StepBits-1:0] rd_pause_q;
  logic [1:0] rd_slot_q;
  logic [2:0] slots_used_q;

  // What a request is for, and where its answer goes.
  typedef struct packed {
    logic parameter_word;
    logic beta;
    logic last;  // word of the row; or the last parameter
    logic [RowWordBits-1:0] word;
    logic [1:0] slot;
  } request_t;

  logic row_waits_q, row_granted, parameters_end;
  request_t request, asked;

  // Words of rows must not be answered closer to one another than Steps cycles: the next one is asked for only when the one before
  // it was granted.
  assign slot_free      = rd_word_q != '0 || slots_used_q != 3'(Slots);
  assign rd_row         = rd_free && rd_rows_q && rd_pause_q == '0 && slot_free && !row_waits_q;
  assign rd_parameter   = rd_free && rd_parameters_q && !rd_row;
  assign rd_row_end     = rd_word_q == last_word_q;
  assign slot_taken     = rd_row && rd_word_q == '0;
  assign rd_grant       = act_rd_valid_o && act_rd_ready_i;
  assign row_granted    = rd_grant && !asked.parameter_word;
  assign parameters_end = rd_beta_q && rd_parameter_word_q == last_word_q;

  always_comb begin
    request.parameter_word = rd_parameter;
    request.beta           = rd_beta_q;
    request.last           = rd_parameter ? parameters_end : rd_row_end;
    request.word           = rd_parameter ? rd_parameter_word_q : rd_word_q;
    request.slot           = rd_slot_q;
  end

  // The memory decides late in a cycle whom it serves: its grant moves nothing but this.
  moesaic_skid_buffer #(
      .Width($bits({act_rd_address_o, asked}))
  ) u_request (
      .clk_i,
      .rst_ni,
      .valid_i(rd_row || rd_parameter),
      .ready_o(rd_free),
      .data_i ({rd_parameter ? rd_parameter_address_q : rd_address_q, request}),
      .valid_o(act_rd_valid_o),
      .ready_i(act_rd_ready_i),
      .data_o ({act_rd_address_o, asked})
  );

  moesaic_row_address u_source (
      .clk_i,
      .start_i  (start),
      .base_i   (instr.source_address >> WordShift),
      .pitch_i  (instr.source_pitch >> WordShift),
      .next_i   (rd_row && rd_row_end),
      .next_o   (next_row)
  );

  always_ff @(posedge clk_i) begin
    if (rd_pause_q != '0) rd_pause_q <= rd_pause_q - 1'b1;
    if (row_granted) rd_pause_q <= StepBits'(Pause);
    row_waits_q <= rst_ni && (rd_row || (row_waits_q && !row_granted));
    if (start) begin
      rd_parameters_q        <= 1'b1;
      rd_parameter_address_q <= instr.param_address >> WordShift;
      rd_parameter_word_q    <= '0;
      rd_beta_q              <= 1'b0;
      rd_rows_q              <= instr.rows != '0;
      rd_address_q           <= instr.source_address >> WordShift;
      rd_row_q               <= '0;
      rd_word_q              <= '0;
      rd_slot_q              <= '0;
      rd_pause_q             <= '0;
    end
    if (rd_parameter) begin
      rd_parameter_address_q <= rd_parameter_address_q + 32'd1;
      rd_beta_q              <= !rd_beta_q;
      if (rd_beta_q) rd_parameter_word_q <= rd_parameter_word_q + 1'b1;
      if (parameters_end) rd_parameters_q <= 1'b0;
    end
    if (rd_row) begin
      rd_word_q    <= rd_row_end ? '0 : rd_word_q + 1'b1;
      rd_address_q <= rd_row_end ? next_row : rd_address_q + 32'd1;
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

  // What each answer is. A row's word moves registers in slices, and the row buffer, whose enables come from copies.
  localparam int unsigned Answer = moesaic_memory_pkg::ACT_READ_CYCLES;
  logic [Answer:1] answer_row_q, answer_parameter_q, answer_beta_q, answer_last_q;
  logic [Answer:1][RowWordBits-1:0] answer_word_q;
  logic [Answer:1][1:0] answer_slot_q;
  logic parameters_there_q;

  always_ff @(posedge clk_i) begin
    answer_row_q       <= {answer_row_q[Answer-1:1], row_granted};
    answer_parameter_q <= {answer_parameter_q[Answer-1:1], rd_grant && asked.parameter_word};
    answer_beta_q      <= {answer_beta_q[Answer-1:1], asked.beta};
    answer_last_q      <= {answer_last_q[Answer-1:1], asked.last};
    answer_word_q      <= {answer_word_q[Answer-1:1], asked.word};
    answer_slot_q      <= {answer_slot_q[Answer-1:1], asked.slot};
    if (start) parameters_there_q <= 1'b0;
    else if (answer_parameter_q[Answer] && answer_last_q[Answer]) parameters_there_q <= 1'b1;
    if (!rst_ni) begin
      answer_row_q       <= '0;
      answer_parameter_q <= '0;
    end
  end

  // --- buffers -------------------------------------------------------------------------------------------------------

  // The places to read have a load in every LUT of LUT RAM, 256 in a slice: of 64 bits, where a row has 32 words.
  localparam int unsigned SliceBits = 64 * 32 / RowWords;

  logic [WordBits-1:0] x_word_q, gamma_word_q, beta_word_q;
  logic [RowWordBits-1:0] nm_word_q, nm_word;
  logic [1:0] nm_slot_q, nm_slot;
  logic [WordBits-1:0] st_word_q, st_rest;

  for (genvar s = 0; s < WordBits / SliceBits; s++) begin : gen_slice
    (* ram_style = "distributed" *) logic [SliceBits-1:0] row_buffer[Slots * RowWords];
    (* ram_style = "distributed" *) logic [SliceBits-1:0] gamma_buffer[RowWords];
    (* ram_style = "distributed" *) logic [SliceBits-1:0] beta_buffer[RowWords];
    logic [RowWordBits-1:0] word;
    logic [1:0] slot;
    logic answer_row;

    moesaic_replica #(
        .Width($bits({slot, word}))
    ) u_place (
        .clk_i,
        .data_i({nm_slot, nm_word}),
        .data_o({slot, word})
    );

    moesaic_replica u_row (
        .clk_i,
        .data_i(answer_row_q[Answer-1]),
        .data_o(answer_row)
    );

    always_ff @(posedge clk_i) begin
      if (answer_row) row_buffer[{answer_slot_q[Answer], answer_word_q[Answer]}] <= act_rd_data_i[SliceBits*s+:SliceBits];
    end
    always_ff @(posedge clk_i) begin
      if (answer_parameter_q[Answer] && !answer_beta_q[Answer]) gamma_buffer[answer_word_q[Answer]] <= act_rd_data_i[SliceBits*s+:SliceBits];
    end
    always_ff @(posedge clk_i) begin
      if (answer_parameter_q[Answer] && answer_beta_q[Answer]) beta_buffer[answer_word_q[Answer]] <= act_rd_data_i[SliceBits*s+:SliceBits];
    end
    always_ff @(posedge clk_i) begin
      x_word_q[SliceBits*s+:SliceBits]     <= row_buffer[{slot, word}];
      gamma_word_q[SliceBits*s+:SliceBits] <= gamma_buffer[word];
      beta_word_q[SliceBits*s+:SliceBits]  <= beta_buffer[word];
    end

    // The word of a row, from which NormLanes elements are taken in each cycle.
    always_ff @(posedge clk_i) st_word_q[SliceBits*s+:SliceBits] <= answer_row ? act_rd_data_i[SliceBits*s+:SliceBits] : st_rest[SliceBits*s+:SliceBits];
  end

  // --- statistics: NormLanes elements per cycle, elements beyond the row count as 0 ----------------------------------

  logic [TileColumns-1:0] st_mask_q;
  logic st_active_q, st_last_q;
  logic [StepBits-1:0] st_step_q;
  // Stages: 1 elements, 2 their squares, 3 the multiplier's second register, 4 the sums of the lanes.
  logic [4:1] sa_valid_q, sa_last_q;
  logic [NormLanes-1:0][15:0] sa_x_q, sm_x_q, sb_x_q;
  logic [NormLanes-1:0][31:0] sm_square_q, sb_square_q;
  logic [TotalWidth-1:0] sb_total, sc_total_q, total_q;
  logic [SquaresWidth-1:0] sb_squares, sc_squares_q, squares_q;
  logic sum_first_q, sum_valid_q;

  assign st_rest = st_word_q >> (16 * NormLanes);

  always_comb begin
    sb_total   = '0;
    sb_squares = '0;
    for (int l = 0; l < int'(NormLanes); l++) begin
      sb_total   = sb_total + {{(TotalWidth - 16) {sb_x_q[l][15]}}, sb_x_q[l]};
      sb_squares = sb_squares + SquaresWidth'(sb_square_q[l]);
    end
  end

  always_ff @(posedge clk_i) begin
    if (answer_row_q[Answer]) begin
      st_mask_q <= answer_last_q[Answer] ? last_mask_q : '1;
      st_last_q <= answer_last_q[Answer];
      st_step_q <= '0;
    end else begin
      st_mask_q <= st_mask_q >> NormLanes;
      st_step_q <= st_step_q + 1'b1;
    end
    for (int l = 0; l < int'(NormLanes); l++) begin
      sa_x_q[l]      <= st_mask_q[l] ? st_word_q[16*l+:16] : '0;
      sm_square_q[l] <= $signed(sa_x_q[l]) * $signed(sa_x_q[l]);
    end
    sm_x_q       <= sa_x_q;
    sb_x_q       <= sm_x_q;
    sb_square_q  <= sm_square_q;
    sc_total_q   <= sb_total;
    sc_squares_q <= sb_squares;
    if (sa_valid_q[4]) begin
      total_q     <= (sum_first_q ? '0 : total_q) + sc_total_q;
      squares_q   <= (sum_first_q ? '0 : squares_q) + sc_squares_q;
      sum_first_q <= sa_last_q[4];
    end
    sa_last_q <= {sa_last_q[3:1], st_last_q && st_step_q == StepBits'(Steps - 1)};
    if (!rst_ni) begin
      st_active_q <= 1'b0;
      sa_valid_q  <= '0;
      sum_first_q <= 1'b1;
      sum_valid_q <= 1'b0;
    end else begin
      st_active_q <= answer_row_q[Answer] || (st_active_q && st_step_q != StepBits'(Steps - 1));
      sa_valid_q  <= {sa_valid_q[3:1], st_active_q};
      sum_valid_q <= sa_valid_q[4] && sa_last_q[4];
    end
  end

  // --- what the row is multiplied by and what is added -----------------------------------------------------------------

  logic scale_made, scale_ready, scale_valid, nm_row_end;
  logic [25:0] scale_multiplier, nm_multiplier;
  logic [44:0] scale_offset, nm_offset;
  logic [5:0] scale_shift, nm_shift;

  moesaic_norm_scale #(
      .Rows(Slots)
  ) u_scale (
      .clk_i,
      .rst_ni,
      .width_i     (columns_q),
      .valid_i     (sum_valid_q),
      .total_i     (total_q),
      .squares_i   (squares_q),
      .valid_o     (scale_made),
      .multiplier_o(scale_multiplier),
      .offset_o    (scale_offset),
      .shift_o     (scale_shift)
  );

  // No more rows than buffer slots are under way, so this queue never refuses.
  moesaic_fifo #(
      .Width($bits({nm_shift, nm_offset, nm_multiplier})),
      .Depth(Slots)
  ) u_scales (
      .clk_i,
      .rst_ni,
      .valid_i(scale_made),
      .ready_o(scale_ready),
      .data_i ({scale_shift, scale_offset, scale_multiplier}),
      .valid_o(scale_valid),
      .ready_i(nm_row_end),
      .data_o ({nm_shift, nm_offset, nm_multiplier})
  );

  // --- normalisation -------------------------------------------------------------------------------------------------

  logic [StepBits-1:0] nm_step_q;
  logic nm_issue, nm_group_end, wr_granted, output_free;
  logic [$clog2(OutputGroups):0] in_flight_q;

  assign output_free      = nm_step_q != '0 || in_flight_q != ($clog2(OutputGroups) + 1)'(OutputGroups);
  assign nm_issue         = scale_valid && parameters_there_q && output_free;
  assign nm_group_end     = nm_step_q == StepBits'(Steps - 1);
  assign nm_row_end       = nm_issue && nm_group_end && nm_word_q == last_word_q;
  assign slot_released    = nm_row_end;

  always_comb begin
    nm_word = nm_word_q;
    nm_slot = nm_slot_q;
    if (nm_issue && nm_group_end) nm_word = (nm_word_q == last_word_q) ? '0 : nm_word_q + 1'b1;
    if (nm_row_end) nm_slot = nm_slot_q + 2'd1;
    if (!rst_ni || start) {nm_word, nm_slot} = '0;
  end

  always_ff @(posedge clk_i) begin
    nm_word_q <= nm_word;
    nm_slot_q <= nm_slot;
    if (!rst_ni || start) begin
      nm_step_q   <= '0;
      in_flight_q <= '0;
    end else begin
      if (nm_issue) nm_step_q <= nm_group_end ? '0 : nm_step_q + 1'b1;
      in_flight_q <= in_flight_q + ($clog2(OutputGroups) + 1)'(nm_issue && nm_step_q == '0)
                                 - ($clog2(OutputGroups) + 1)'(wr_granted);
    end
  end

  // Stages: 1 words from the buffers, 2 lanes, 3 times multiplier, 4 + offset, 5 y, 6 y * gamma, 7 + beta + half, 8 result,
  // 9 the half word collected. The registers of 2 to 4 and of 5 to 7 are those of two DSP48E2.
  logic [9:1] nm_valid_q, nm_end_q;
  logic [8:1][StepBits-1:0] nm_step_d_q;
  logic nm_last_word_q;
  logic [25:0] nm_multiplier_q;
  logic [2:1][44:0] nm_offset_q;
  logic [4:1][5:0] nm_shift_q;
  logic [7:2][NormLanes-1:0] mask_q;
  logic [NormLanes-1:0][15:0] x;
  logic [4:2][NormLanes-1:0][15:0] gamma_q;
  logic [5:2][NormLanes-1:0][15:0] beta_q;
  /* verilator lint_off UNUSEDSIGNAL */
  logic [NormLanes-1:0][47:0] rounded, affine, norm_cascade, affine_cascade;
  /* verilator lint_on UNUSEDSIGNAL */
  logic [NormLanes-1:0][15:0] y;
  logic [NormLanes-1:0][33:0] added;
  logic [NormLanes-1:0][7:0] result, result_q;
  logic [TileColumns-1:0][7:0] group_q;
  logic [33:0] result_half;
  logic [NormLanes-1:0][15:0] y_shifted;
  logic [NormLanes-1:0][7:0] result_shifted;
  logic [NormLanes-1:0] y_beyond, result_beyond;

  assign result_half = (shift_q == '0) ? '0 : 34'd1 << (shift_q - 5'd1);

  always_comb begin
    for (int l = 0; l < int'(NormLanes); l++) begin
      x[l]      = x_word_q[16*(nm_step_d_q[1]*NormLanes+l)+:16];
      added[l]  = {{8{beta_q[5][l][15]}}, beta_q[5][l], 10'd0} + result_half;
      y[l]      = y_beyond[l] ? {rounded[l][44], {15{~rounded[l][44]}}} : y_shifted[l];
      result[l] = result_beyond[l] ? {affine[l][33], {7{~affine[l][33]}}} : result_shifted[l];
      if (!mask_q[7][l]) result[l] = '0;
    end
  end

  for (genvar l = 0; l < NormLanes; l++) begin : gen_lane
    moesaic_dsp48_mac u_norm (
        .clk_i,
        .a_i      ({1'b0, nm_multiplier_q}),
        .b_i      ({{2{x[l][15]}}, x[l]}),
        .c_i      ({{3{nm_offset_q[2][44]}}, nm_offset_q[2]}),
        .cascade_i('0),
        .cascade_o(norm_cascade[l]),
        .sum_o    (rounded[l])
    );

    moesaic_dsp48_mac u_affine (
        .clk_i,
        .a_i      ({{11{y[l][15]}}, y[l]}),
        .b_i      ({{2{gamma_q[4][l][15]}}, gamma_q[4][l]}),
        .c_i      ({{14{added[l][33]}}, added[l]}),
        .cascade_i('0),
        .cascade_o(affine_cascade[l]),
        .sum_o    (affine[l])
    );

    logic [18:0] y_coarse;
    logic [10:0] result_coarse;
    logic y_beyond_coarse, y_beyond_fine, result_beyond_coarse, result_beyond_fine;

    moesaic_shift_coarse #(
        .Width(45),
        .Kept (19)
    ) u_y_coarse (
        .value_i (rounded[l][44:0]),
        .shift_i (nm_shift_q[4][5:2]),
        .value_o (y_coarse),
        .beyond_o(y_beyond_coarse)
    );

    moesaic_shift_fine #(
        .Width(16)
    ) u_y_fine (
        .value_i (y_coarse),
        .sign_i  (rounded[l][44]),
        .shift_i (nm_shift_q[4][1:0]),
        .value_o (y_shifted[l]),
        .beyond_o(y_beyond_fine)
    );

    moesaic_shift_coarse #(
        .Width(34),
        .Kept (11)
    ) u_result_coarse (
        .value_i (affine[l][33:0]),
        .shift_i ({1'b0, shift_q[4:2]}),
        .value_o (result_coarse),
        .beyond_o(result_beyond_coarse)
    );

    moesaic_shift_fine #(
        .Width(8)
    ) u_result_fine (
        .value_i (result_coarse),
        .sign_i  (affine[l][33]),
        .shift_i (shift_q[1:0]),
        .value_o (result_shifted[l]),
        .beyond_o(result_beyond_fine)
    );

    assign y_beyond[l] = y_beyond_coarse || y_beyond_fine;
    assign result_beyond[l] = result_beyond_coarse || result_beyond_fine;
  end

  always_ff @(posedge clk_i) begin
    nm_end_q        <= {nm_end_q[8:1], nm_group_end};
    nm_step_d_q     <= {nm_step_d_q[7:1], nm_step_q};
    nm_last_word_q  <= nm_word_q == last_word_q;
    nm_multiplier_q <= nm_multiplier;
    nm_offset_q     <= {nm_offset_q[1], nm_offset};
    nm_shift_q      <= {nm_shift_q[3:1], nm_shift};
    for (int l = 0; l < int'(NormLanes); l++) begin
      gamma_q[2][l]   <= gamma_word_q[16*(nm_step_d_q[1]*NormLanes+l)+:16];
      beta_q[2][l]    <= beta_word_q[16*(nm_step_d_q[1]*NormLanes+l)+:16];
      mask_q[2][l]    <= !nm_last_word_q || last_mask_q[nm_step_d_q[1]*NormLanes+l];
    end
    gamma_q[4:3] <= gamma_q[3:2];
    beta_q[5:3]  <= beta_q[4:2];
    mask_q[7:3]  <= mask_q[6:2];
    result_q     <= result;
    for (int l = 0; l < int'(NormLanes); l++) group_q[nm_step_d_q[8]*NormLanes+l] <= result_q[l];
    if (!rst_ni) nm_valid_q <= '0;
    else nm_valid_q <= {nm_valid_q[8:1], nm_issue};
  end

  // --- writes: half a word per word read -----------------------------------------------------------------------------

  logic output_ready, writing;

  moesaic_row_writer #(
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
      .valid_i      (nm_valid_q[9] && nm_end_q[9]),
      .ready_o      (output_ready),
      .data_i       (group_q),
      .active_o     (writing),
      .granted_o    (wr_granted),
      .act_wr_valid_o,
      .act_wr_ready_i,
      .act_wr_address_o,
      .act_wr_data_o,
      .act_wr_strobe_o
  );

  // A fault shows in the cycle after its grant, the first in which finished can be true. Without rows, the parameters must have
  // been answered before another instruction may read.
  assign finished = parameters_there_q && !rd_rows_q && !writing;

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      slots_used_in_range: assert (slots_used_q <= 3'(Slots));
      groups_in_flight_in_range: assert (in_flight_q <= ($clog2(OutputGroups) + 1)'(OutputGroups));
      output_never_refused: assert (output_ready || !nm_valid_q[9] || !nm_end_q[9]);
      scale_never_refused: assert (scale_ready || !scale_made);
      words_come_with_their_requests: assert (act_rd_data_valid_i || !(answer_row_q[Answer] || answer_parameter_q[Answer]));
    end
  end
`endif

endmodule
