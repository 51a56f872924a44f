// The matmul unit: a (activation memory) times b (weight memory), requantised and written where the instruction says.
// Semantics: `matmul` in the instruction set.
//
//   operand_fetch -> operand_buffer -+
//   weight memory ------------------ +-> matmul_array -> matmul_drain -> result_writer
//                                                        result_address ----^
//
// This module holds the sequence of steps: row tiles, their column tiles, depth / TileDepth steps each, one step per cycle.
// A step takes one weight word straight from the memory, so the only other weight reads, the parameters of a column tile,
// are made before its steps (once per product if they do not change). The array cannot wait: a tile's last step is held
// back until the drain has promised room for the tile's rows and the previous tile has left the array.
module matmul #(
    parameter int unsigned TileRows = 4,
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth = 4,
    parameter int unsigned RowEntries = 128,
    parameter int unsigned QueueTokens = 128,
    parameter int unsigned Experts = 16
) (
    input  logic                                     clk_i,
    input  logic                                     rst_ni,
    input  logic                                     instr_valid_i,
    output logic                                     instr_ready_o,
    input  logic [511:0]                             instr_i,
    output logic                                     done_o,
    output logic                                     fault_o,
    output logic [3:0]                               fault_cause_o,
    // events: the array multiplied; a tile's last step waited for the drain
    output logic                                     array_o,
    output logic                                     drain_stall_o,
    // activation memory: 0 operand a, 1 residual
    output logic [1:0]                               act_rd_valid_o,
    input  logic [1:0]                               act_rd_ready_i,
    output logic [1:0][31:0]                         act_rd_address_o,
    input  logic [1:0]                               act_rd_data_valid_i,
    input  logic [1:0][16*TileColumns-1:0]           act_rd_data_i,
    input  logic [1:0]                               act_rd_fault_i,
    output logic                                     act_wr_valid_o,
    input  logic                                     act_wr_ready_i,
    output logic [31:0]                              act_wr_address_o,
    output logic [16*TileColumns-1:0]                act_wr_data_o,
    output logic [2*TileColumns-1:0]                 act_wr_strobe_o,
    input  logic                                     act_wr_fault_i,
    // weight memory
    output logic                                     weight_rd_valid_o,
    output logic [31:0]                              weight_rd_address_o,
    input  logic                                     weight_rd_data_valid_i,
    input  logic [8*TileColumns*TileDepth-1:0]       weight_rd_data_i,
    input  logic                                     weight_rd_fault_i,
    output logic                                     weight_wr_valid_o,
    input  logic                                     weight_wr_ready_i,
    output logic [31:0]                              weight_wr_address_o,
    output logic [8*TileColumns*TileDepth-1:0]       weight_wr_data_o,
    output logic [TileColumns*TileDepth-1:0]         weight_wr_strobe_o,
    input  logic                                     weight_wr_fault_i,
    // GELU tables, written by load
    input  logic                                     table_wr_valid_i,
    output logic                                     table_wr_ready_o,
    input  logic [31:0]                              table_wr_address_i,
    input  logic [127:0]                             table_wr_data_i,
    output logic                                     table_wr_fault_o,
    // row statistics
    output logic                                     max_we_o,
    output logic [$clog2(RowEntries)-1:0]            max_wr_address_o,
    output logic [15:0]                              max_wr_data_o,
    output logic [$clog2(RowEntries)-1:0]            scale_rd_address_o,
    input  logic [15:0]                              scale_rd_multiplier_i,
    input  logic [5:0]                               scale_rd_shift_i,
    // expert queues
    input  logic [Experts-1:0][16:0]                 queue_count_i,
    output logic [$clog2(Experts)-1:0]               queue_rd_expert_o,
    output logic [$clog2(QueueTokens)-1:0]           queue_rd_index_o,
    input  logic [15:0]                              queue_rd_token_i,
    input  logic [15:0]                              queue_rd_score_i
);

  // Bytes of a row of a that the operand buffer holds.
  localparam int unsigned OperandBytes = 32'(isa_pkg::OPERAND_BYTES);

  localparam int unsigned ActShift = $clog2(2 * TileColumns);
  localparam int unsigned DepthShift = $clog2(TileDepth);
  localparam int unsigned ColumnShift = $clog2(TileColumns);
  localparam int unsigned WordShift = ColumnShift + DepthShift;
  localparam int unsigned PartBits = ActShift - DepthShift;
  localparam int unsigned RingWords = OperandBytes / (2 * TileColumns);
  localparam int unsigned SlotBits = $clog2(RingWords);
  localparam int unsigned CountBits = $clog2(TileRows + 1);
  localparam int unsigned EntryBits = $clog2(RowEntries);
  localparam int unsigned ExpertBits = $clog2(Experts);
  localparam int unsigned IndexBits = $clog2(QueueTokens);
  localparam int unsigned ParameterWords = 8 / TileDepth;
  localparam int unsigned WordBits = 8 * TileColumns * TileDepth;
  localparam int unsigned RowQueue = 1 << $clog2(2 * TileRows + 8);
  localparam int unsigned TileQueue = 4;
  // From a step's issue to the operands at the array, and to the last parameter register.
  localparam int unsigned ReadCycles = 3;

  if (TileDepth != 4 && TileDepth != 8) begin : gen_check
    $fatal(1, "TileDepth must be 4 or 8");
  end

  // --- the instruction ---

  typedef enum logic [2:0] {
    Idle,
    Prepare,
    Check,
    Parameters,
    Steps,
    Drain,
    Faulted
  } state_e;

  state_e state_q;
  // Tag and semaphores are the business of the issue queue.
  /* verilator lint_off UNUSEDSIGNAL */
  isa_pkg::matmul_t instruction_q;
  /* verilator lint_on UNUSEDSIGNAL */

  logic by_queue, start, memory_fault;
  logic legal_q, entries_legal;
  logic [16:0] rows_q;
  logic [15:0] column_tiles_q, steps_q;
  logic [ColumnShift:0] tail_columns_q;
  logic [SlotBits:0] words_q;
  logic [16:0] operand_end;

  assign by_queue = instruction_q.gather || instruction_q.scatter;
  assign operand_end = 17'(instruction_q.a_address[ActShift-1:0]) + 17'(instruction_q.depth);
  assign entries_legal = !(instruction_q.row_scale || instruction_q.track_max)
      || 18'(instruction_q.row_base) + 18'(rows_q) <= 18'(RowEntries);
  assign start = state_q == Check && legal_q && rows_q != '0 && entries_legal;
  assign memory_fault = act_rd_fault_i[0] || act_rd_fault_i[1] || act_wr_fault_i || weight_rd_fault_i || weight_wr_fault_i;
  assign instr_ready_o = state_q == Idle;

  always_ff @(posedge clk_i) begin
    if (instr_valid_i && instr_ready_o) instruction_q <= instr_i;
    if (state_q == Prepare) begin
      rows_q <= by_queue ? queue_count_i[ExpertBits'(instruction_q.queue)] : 17'(instruction_q.rows);
      steps_q <= instruction_q.depth >> DepthShift;
      words_q <= (SlotBits + 1)'((operand_end + 17'(2 * TileColumns - 1)) >> ActShift);
      column_tiles_q <= 16'((17'(instruction_q.columns) + 17'(TileColumns - 1)) >> ColumnShift);
      tail_columns_q <= (instruction_q.columns[ColumnShift-1:0] == '0)
          ? (ColumnShift + 1)'(TileColumns) : (ColumnShift + 1)'(instruction_q.columns[ColumnShift-1:0]);
      legal_q <= instruction_q.destination <= 3'(isa_pkg::DESTINATION_VALUES)
          && instruction_q.columns != '0 && instruction_q.depth != '0 && instruction_q.depth[DepthShift-1:0] == '0
          && operand_end <= 17'(OperandBytes) && !(by_queue && 32'(instruction_q.queue) >= Experts);
    end
  end

  // --- the steps ---

  logic [16:0] tile_row_q, left_q;
  logic [15:0] column_tile_q, step_q;
  logic [CountBits-1:0] tile_rows;
  logic [SlotBits:0] filled, released_q;
  logic [SlotBits+PartBits:0] position_q;  // of the step in the row of a, {word, part}
  logic [47:0] b_tile_q, b_step_q, parameters_q, read_address;
  logic parameter_word_q;
  logic first_column_tile, last_column_tile, last_row_tile, last_step, available, drain_ready;
  logic read_parameter, step, tile_ends, next_parameters;

  logic [$clog2(RowQueue):0] rows_promised_q;
  logic [$clog2(TileQueue):0] tiles_promised_q;
  logic [CountBits-1:0] leaving_q;
  logic row_taken, tile_taken;

  assign tile_rows = (left_q >= 17'(TileRows)) ? CountBits'(TileRows) : CountBits'(left_q);
  assign first_column_tile = column_tile_q == '0;
  assign last_column_tile = column_tile_q == column_tiles_q - 16'd1;
  assign last_row_tile = left_q <= 17'(TileRows);
  assign last_step = step_q == steps_q - 16'd1;
  assign available = filled - released_q > position_q[SlotBits+PartBits:PartBits];
  assign drain_ready = leaving_q == '0 && tiles_promised_q != ($clog2(TileQueue) + 1)'(TileQueue)
      && 32'(rows_promised_q) + 32'(tile_rows) <= RowQueue;
  assign read_parameter = state_q == Parameters;
  assign step = state_q == Steps && available && (!last_step || drain_ready);
  assign tile_ends = step && last_step;
  // The parameters of a column tile are those of the one before, or of the same one in the row tile before.
  assign next_parameters = !instruction_q.row_scale && instruction_q.param_stride != '0 && column_tiles_q != 16'd1;
  assign read_address = read_parameter ? parameters_q + 48'(parameter_word_q) : b_step_q;
  assign array_o = step;
  assign drain_stall_o = state_q == Steps && available && last_step && !drain_ready;

  always_ff @(posedge clk_i) begin
    if (start) begin
      tile_row_q <= '0;
      left_q <= rows_q;
      released_q <= '0;
      column_tile_q <= '0;
      step_q <= '0;
      parameter_word_q <= 1'b0;
      position_q <= (SlotBits + PartBits + 1)'(instruction_q.a_address[ActShift-1:DepthShift]);
      b_tile_q <= 48'(instruction_q.b_address) >> WordShift;
      b_step_q <= 48'(instruction_q.b_address) >> WordShift;
      parameters_q <= 48'(instruction_q.param_address) >> WordShift;
    end
    if (read_parameter) parameter_word_q <= (ParameterWords == 2) && !parameter_word_q;
    if (step) begin
      step_q <= step_q + 16'd1;
      position_q <= position_q + 1'b1;
      b_step_q <= b_step_q + 48'd1;
    end
    if (tile_ends) begin
      step_q <= '0;
      position_q <= (SlotBits + PartBits + 1)'(instruction_q.a_address[ActShift-1:DepthShift]);
      column_tile_q <= column_tile_q + 16'd1;
      b_tile_q <= b_tile_q + (48'(instruction_q.b_stride) >> WordShift);
      b_step_q <= b_tile_q + (48'(instruction_q.b_stride) >> WordShift);
      parameters_q <= parameters_q + (48'(instruction_q.param_stride) >> WordShift);
      if (last_column_tile) begin
        column_tile_q <= '0;
        b_tile_q <= 48'(instruction_q.b_address) >> WordShift;
        b_step_q <= 48'(instruction_q.b_address) >> WordShift;
        parameters_q <= 48'(instruction_q.param_address) >> WordShift;
        tile_row_q <= tile_row_q + 17'(TileRows);
        left_q <= left_q - 17'(TileRows);
        released_q <= released_q + words_q;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      rows_promised_q <= '0;
      tiles_promised_q <= '0;
      leaving_q <= '0;
    end else begin
      rows_promised_q <= rows_promised_q + (tile_ends ? ($clog2(RowQueue) + 1)'(tile_rows) : '0)
          - ($clog2(RowQueue) + 1)'(row_taken);
      tiles_promised_q <= tiles_promised_q + ($clog2(TileQueue) + 1)'(tile_ends) - ($clog2(TileQueue) + 1)'(tile_taken);
      if (tile_ends) leaving_q <= tile_rows - 1'b1;
      else if (leaving_q != '0) leaving_q <= leaving_q - 1'b1;
    end
  end

  // --- state ---

  logic finished;

  assign done_o = !memory_fault && ((state_q == Drain && finished) || (state_q == Check && legal_q && rows_q == '0));

  always_ff @(posedge clk_i) begin
    fault_o <= 1'b0;
    case (state_q)
      Idle: if (instr_valid_i) state_q <= Prepare;
      Prepare: state_q <= Check;
      Check: begin
        if (!legal_q) begin
          state_q <= Faulted;
          fault_o <= 1'b1;
          fault_cause_o <= isa_pkg::FAULT_BAD_INSTRUCTION;
        end else if (rows_q == '0) begin
          state_q <= Idle;
        end else if (!entries_legal) begin
          state_q <= Faulted;
          fault_o <= 1'b1;
          fault_cause_o <= isa_pkg::FAULT_ADDRESS;
        end else begin
          state_q <= instruction_q.row_scale ? Steps : Parameters;
        end
      end
      Parameters: if (ParameterWords == 1 || parameter_word_q) state_q <= Steps;
      Steps: begin
        if (tile_ends) begin
          if (last_column_tile && last_row_tile) state_q <= Drain;
          else if (next_parameters) state_q <= Parameters;
        end
      end
      Drain: if (finished) state_q <= Idle;
      default: ;
    endcase
    if (memory_fault && state_q != Faulted) begin
      state_q <= Faulted;
      fault_o <= 1'b1;
      fault_cause_o <= isa_pkg::FAULT_ADDRESS;
    end
    if (!rst_ni) begin
      state_q <= Idle;
      fault_o <= 1'b0;
    end
  end

  // --- reads: one weight word per step or parameter word, and the operands of the step in the buffer ---

  logic [ReadCycles-1:0] step_valid_q, step_first_q, parameter_valid_q, parameter_high_q;
  logic [ReadCycles:0] step_last_q;
  logic [SlotBits-1:0] operand_slot_q;
  logic [PartBits-1:0] operand_part_q;
  logic [TileRows-1:0][TileDepth-1:0][7:0] operands;
  logic [ParameterWords-1:0][WordBits-1:0] parameter_words_q;
  logic [TileColumns-1:0][63:0] parameters;

  always_ff @(posedge clk_i) begin
    weight_rd_address_o <= (read_address[47:32] != '0) ? '1 : read_address[31:0];
    operand_slot_q <= released_q[SlotBits-1:0] + position_q[PartBits+:SlotBits];
    operand_part_q <= position_q[PartBits-1:0];
    step_first_q <= {step_first_q[ReadCycles-2:0], step_q == '0};
    parameter_high_q <= {parameter_high_q[ReadCycles-2:0], parameter_word_q};
    if (!rst_ni) begin
      step_valid_q <= '0;
      step_last_q <= '0;
      parameter_valid_q <= '0;
    end else begin
      step_valid_q <= {step_valid_q[ReadCycles-2:0], step};
      step_last_q <= {step_last_q[ReadCycles-1:0], tile_ends};
      parameter_valid_q <= {parameter_valid_q[ReadCycles-2:0], read_parameter};
    end
    if (parameter_valid_q[ReadCycles-1]) begin
      parameter_words_q[(ParameterWords==2)&&parameter_high_q[ReadCycles-1]] <= weight_rd_data_i;
    end
    // The memory's answer keeps step with the operands.
    assert (!rst_ni || weight_rd_data_valid_i == (step_valid_q[ReadCycles-1] || parameter_valid_q[ReadCycles-1]));
  end

  assign weight_rd_valid_o = step_valid_q[0] || parameter_valid_q[0];
  assign parameters = parameter_words_q;

  logic fetch_lookup;
  logic [15:0] fetch_index, result_index;
  logic buffer_write;
  logic [CountBits-1:0] buffer_row;
  logic [SlotBits-1:0] buffer_slot;
  logic [16*TileColumns-1:0] buffer_data;

  assign queue_rd_expert_o = ExpertBits'(instruction_q.queue);
  assign queue_rd_index_o = IndexBits'(fetch_lookup ? fetch_index : result_index);

  operand_fetch #(
      .TileRows   (TileRows),
      .TileColumns(TileColumns),
      .RingWords  (RingWords)
  ) u_fetch (
      .clk_i,
      .rst_ni,
      .start_i        (start),
      .gather_i       (instruction_q.gather),
      .rows_i         (rows_q),
      .words_i        (words_q),
      .address_i      (instruction_q.a_address >> ActShift),
      .pitch_i        (instruction_q.a_pitch >> ActShift),
      .queue_valid_o  (fetch_lookup),
      .queue_index_o  (fetch_index),
      .queue_token_i  (queue_rd_token_i),
      .rd_valid_o     (act_rd_valid_o[0]),
      .rd_ready_i     (act_rd_ready_i[0]),
      .rd_address_o   (act_rd_address_o[0]),
      .rd_data_valid_i(act_rd_data_valid_i[0]),
      .rd_data_i      (act_rd_data_i[0]),
      .wr_enable_o    (buffer_write),
      .wr_row_o       (buffer_row),
      .wr_slot_o      (buffer_slot),
      .wr_data_o      (buffer_data),
      .filled_o       (filled),
      .released_i     (released_q)
  );

  operand_buffer #(
      .TileRows   (TileRows),
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth),
      .RingWords  (RingWords)
  ) u_buffer (
      .clk_i,
      .wr_enable_i(buffer_write),
      .wr_row_i   (buffer_row),
      .wr_slot_i  (buffer_slot),
      .wr_data_i  (buffer_data),
      .rd_enable_i(step_valid_q[0]),
      .rd_slot_i  (operand_slot_q),
      .rd_part_i  (operand_part_q),
      .rd_data_o  (operands)
  );

  // --- array, drain, write ---

  logic [CountBits-1:0] array_rows, record_rows;
  logic [EntryBits-1:0] record_row;
  logic record_first, record_last;
  logic row_valid;
  logic [TileColumns-1:0][31:0] row;
  logic [TileColumns-1:0][31:0] tile_bias;
  logic [TileColumns-1:0][15:0] tile_multiplier;
  logic [TileColumns-1:0][5:0] tile_shift;

  delay_line #(
      .Width (CountBits),
      .Stages(ReadCycles)
  ) u_rows_delay (
      .clk_i,
      .enable_i(1'b1),
      .data_i  (tile_rows),
      .data_o  (array_rows)
  );

  matmul_array #(
      .TileRows   (TileRows),
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth)
  ) u_array (
      .clk_i,
      .rst_ni,
      .enable_i   (state_q != Idle),
      .valid_i    (step_valid_q[ReadCycles-1]),
      .first_i    (step_first_q[ReadCycles-1]),
      .last_i     (step_last_q[ReadCycles-1]),
      .rows_i     (array_rows),
      .a_i        (operands),
      .b_i        (weight_rd_data_i),
      .row_valid_o(row_valid),
      .row_o      (row)
  );

  // The record of a tile is complete one cycle after its last word has arrived, before the next tile's parameters can.
  delay_line #(
      .Width (CountBits + EntryBits + 2),
      .Stages(ReadCycles + 1)
  ) u_record_delay (
      .clk_i,
      .enable_i(1'b1),
      .data_i  ({tile_rows, tile_row_q[EntryBits-1:0], first_column_tile, last_column_tile}),
      .data_o  ({record_rows, record_row, record_first, record_last})
  );

  for (genvar c = 0; c < TileColumns; c++) begin : gen_parameters
    assign tile_bias[c] = parameters[c][31:0];
    assign tile_multiplier[c] = parameters[c][47:32];
    assign tile_shift[c] = parameters[c][53:48];
  end

  logic value_valid, value_ready;
  logic [TileColumns-1:0][15:0] value;

  matmul_drain #(
      .TileRows   (TileRows),
      .TileColumns(TileColumns),
      .RowEntries (RowEntries),
      .RowQueue   (RowQueue),
      .TileQueue  (TileQueue)
  ) u_drain (
      .clk_i,
      .rst_ni,
      .row_scale_i       (instruction_q.row_scale),
      .table_enable_i    (instruction_q.table_enable),
      .table_index_i     (instruction_q.table_index),
      .track_max_i       (instruction_q.track_max),
      .output_shift_i    (instruction_q.output_shift),
      .row_base_i        (EntryBits'(instruction_q.row_base)),
      .tail_columns_i    (tail_columns_q),
      .tile_valid_i      (step_last_q[ReadCycles]),
      .tile_rows_i       (record_rows),
      .tile_row_i        (record_row),
      .tile_first_i      (record_first),
      .tile_last_i       (record_last),
      .tile_bias_i       (tile_bias),
      .tile_multiplier_i (tile_multiplier),
      .tile_shift_i      (tile_shift),
      .tile_taken_o      (tile_taken),
      .row_valid_i       (row_valid),
      .row_i             (row),
      .row_taken_o       (row_taken),
      .max_we_o,
      .max_wr_address_o,
      .max_wr_data_o,
      .scale_rd_address_o,
      .scale_rd_multiplier_i,
      .scale_rd_shift_i,
      .table_wr_valid_i,
      .table_wr_ready_o,
      .table_wr_address_i,
      .table_wr_data_i,
      .table_wr_fault_o,
      .value_valid_o     (value_valid),
      .value_ready_i     (value_ready),
      .value_o           (value)
  );

  logic place_valid, place_ready, place_half, place_tail, place_final;
  logic [31:0] place_address;
  logic [ColumnShift-1:0] place_lane;
  logic [15:0] place_score;
  logic [16*TileColumns-1:0] place_old;

  result_address #(
      .TileRows   (TileRows),
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth)
  ) u_address (
      .clk_i,
      .rst_ni,
      .start_i        (start),
      .destination_i  (instruction_q.destination),
      .scatter_i      (instruction_q.scatter),
      .rows_i         (rows_q),
      .column_tiles_i (column_tiles_q),
      .address_i      (instruction_q.d_address),
      .pitch_i        (instruction_q.d_pitch),
      .queue_ready_i  (!fetch_lookup),
      .queue_index_o  (result_index),
      .queue_token_i  (queue_rd_token_i),
      .queue_score_i  (queue_rd_score_i),
      .rd_valid_o     (act_rd_valid_o[1]),
      .rd_ready_i     (act_rd_ready_i[1]),
      .rd_address_o   (act_rd_address_o[1]),
      .rd_data_valid_i(act_rd_data_valid_i[1]),
      .rd_data_i      (act_rd_data_i[1]),
      .valid_o        (place_valid),
      .ready_i        (place_ready),
      .address_o      (place_address),
      .half_o         (place_half),
      .lane_o         (place_lane),
      .score_o        (place_score),
      .tail_o         (place_tail),
      .final_o        (place_final),
      .old_o          (place_old)
  );

  result_writer #(
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth)
  ) u_writer (
      .clk_i,
      .rst_ni,
      .destination_i (instruction_q.destination),
      .scatter_i     (instruction_q.scatter),
      .tail_columns_i(tail_columns_q),
      .value_valid_i (value_valid),
      .value_ready_o (value_ready),
      .value_i       (value),
      .place_valid_i (place_valid),
      .place_ready_o (place_ready),
      .address_i     (place_address),
      .half_i        (place_half),
      .lane_i        (place_lane),
      .score_i       (place_score),
      .tail_i        (place_tail),
      .final_i       (place_final),
      .old_i         (place_old),
      .act_wr_valid_o,
      .act_wr_ready_i,
      .act_wr_address_o,
      .act_wr_data_o,
      .act_wr_strobe_o,
      .weight_wr_valid_o,
      .weight_wr_ready_i,
      .weight_wr_address_o,
      .weight_wr_data_o,
      .weight_wr_strobe_o,
      .finished_o    (finished)
  );

endmodule
