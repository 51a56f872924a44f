// The matmul unit: a (activation memory) times b (weight memory), requantised and written where the instruction says.
// Semantics: `matmul` in the instruction set.
//
//   operand_fetch -> operand_buffer -+
//   weight memory ------------------ +-> matmul_array -> matmul_drain -> result_writer
//                                                        result_address ----^
//
// Operands are read, and results drained and written, for ActPorts rows per cycle.
//
// Two instructions may be in flight, in two slots by turns. The operands of the second are fetched while the first is still
// multiplied, and it is multiplied while the first drains: each part below takes its copy of the fields when it starts, and
// tiles and rows take along what later parts need. Only a residual's old words, and the completion of a product without
// rows, wait until the first has finished. A fault of the second is held back until then too.
//
// This module holds the sequence of steps: row tiles, their column tiles, depth / TileDepth steps each, one step per cycle.
// A step takes one weight word straight from the memory, so the only other weight reads, the parameters of a column tile,
// are made before its steps. The drain holds ParameterTiles blocks of parameters, a ring: a product of that many column tiles
// reads each only once, in its first row tile. The array cannot wait: a tile's last step is held back until the drain has
// promised room for the tile's rows and the previous tile has left the array.
module moesaic_matmul #(
    parameter int unsigned TileRows = 4,
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth = 4,
    parameter int unsigned ActPorts = 2,
    parameter int unsigned RowEntries = 128,
    parameter int unsigned QueueTokens = 128,
    parameter int unsigned Experts = 16
) (
    input  logic                                     clk_i,
    input  logic                                     rst_ni,
    input  logic                                     instr_valid_i,
    output logic                                     instr_ready_o,
    input  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0]                             instr_i,
    output logic                                     done_o,
    output logic                                     fault_o,
    output logic [3:0]                               fault_cause_o,
    output logic                                     fault_older_o,
    // events: the array multiplied; a step waited for its operands; a tile's last step waited for the drain
    output logic                                     array_o,
    output logic                                     operand_stall_o,
    output logic                                     drain_stall_o,
    // activation memory: ActPorts of operand a, then ActPorts of the residual
    output logic [2*ActPorts-1:0]                    act_rd_valid_o,
    input  logic [2*ActPorts-1:0]                    act_rd_ready_i,
    output logic [2*ActPorts-1:0][31:0]              act_rd_address_o,
    input  logic [2*ActPorts-1:0]                    act_rd_data_valid_i,
    input  logic [2*ActPorts-1:0][16*TileColumns-1:0] act_rd_data_i,
    input  logic [2*ActPorts-1:0]                    act_rd_fault_i,
    output logic [ActPorts-1:0]                      act_wr_valid_o,
    input  logic [ActPorts-1:0]                      act_wr_ready_i,
    output logic [ActPorts-1:0][31:0]                act_wr_address_o,
    output logic [ActPorts-1:0][16*TileColumns-1:0]  act_wr_data_o,
    output logic [ActPorts-1:0][2*TileColumns-1:0]   act_wr_strobe_o,
    input  logic [ActPorts-1:0]                      act_wr_fault_i,
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
    // row statistics: port p for entries e with e % ActPorts == p
    output logic [ActPorts-1:0]                      max_we_o,
    output logic [ActPorts-1:0][$clog2(RowEntries)-1:0] max_wr_address_o,
    output logic [ActPorts-1:0][15:0]                max_wr_data_o,
    output logic [ActPorts-1:0][$clog2(RowEntries)-1:0] scale_rd_address_o,
    input  logic [ActPorts-1:0][15:0]                scale_rd_multiplier_i,
    input  logic [ActPorts-1:0][5:0]                 scale_rd_shift_i,
    // expert queues
    input  logic [Experts-1:0][16:0]                 queue_count_i,
    output logic [$clog2(Experts)-1:0]               queue_rd_expert_o,
    output logic [$clog2(QueueTokens)-1:0]           queue_rd_index_o,
    input  logic [15:0]                              queue_rd_token_i,
    input  logic [15:0]                              queue_rd_score_i
);

  // Bytes of a row of a that the operand buffer holds.
  localparam int unsigned OperandBytes = moesaic_isa_pkg::OPERAND_BYTES;

  localparam int unsigned ActShift = $clog2(2 * TileColumns);
  localparam int unsigned DepthShift = $clog2(TileDepth);
  localparam int unsigned ColumnShift = $clog2(TileColumns);
  localparam int unsigned WordShift = ColumnShift + DepthShift;
  localparam int unsigned PartBits = ActShift - DepthShift;
  localparam int unsigned PortBits = $clog2(ActPorts);
  localparam int unsigned RingWords = OperandBytes / (2 * TileColumns);
  localparam int unsigned SlotBits = $clog2(RingWords);
  localparam int unsigned CountBits = $clog2(TileRows + 1);
  localparam int unsigned EntryBits = $clog2(RowEntries);
  localparam int unsigned ExpertBits = $clog2(Experts);
  localparam int unsigned IndexBits = $clog2(QueueTokens);
  localparam int unsigned ParameterWords = 8 / TileDepth;
  // Groups of ActPorts rows.
  localparam int unsigned RowQueue = 1 << $clog2(2 * TileRows / ActPorts + 8);
  localparam int unsigned TileQueue = 8;
  localparam int unsigned ParameterTiles = moesaic_isa_pkg::PARAMETER_BLOCKS;
  localparam int unsigned BlockBits = $clog2(ParameterTiles);
  // From a step's issue to the operands at the array, and to the last parameter register.
  localparam int unsigned ReadCycles = moesaic_memory_pkg::WEIGHT_READ_CYCLES + 1;

  if (TileDepth != 4 && TileDepth != 8) begin : gen_check_depth
    $fatal(1, "matmul: TileDepth is %0d, it must be 4 or 8", TileDepth);
  end
  if ((ActPorts != 1 && ActPorts != 2) || TileRows % ActPorts != 0) begin : gen_check_ports
    $fatal(1, "matmul: ActPorts is %0d, it must be 1 or 2 and divide TileRows, %0d", ActPorts, TileRows);
  end

  // --- the instruction that was accepted last ---

  typedef enum logic [2:0] {
    Idle,
    Prepare,
    Check,
    Fetch,
    Faulted
  } state_t;

  state_t state_q;
  moesaic_isa_pkg::matmul_t instr, instr_q;
  logic slot_q;
  logic [1:0] in_flight_q;
  logic oldest_q;  // slot of the oldest instruction in flight

  logic by_queue, accept, start, empty, fetch_ready;
  logic entries_inside, no_rows_q;
  logic [16:0] count_q, remaining;
  logic [15:0] rows_q, column_tiles_q, steps_q;
  logic [ColumnShift:0] tail_columns_q;
  logic [SlotBits:0] words_q;
  logic [16:0] operand_end;
  // until the parts behind take it over
  logic steps_pending_q, places_pending_q, steps_start, places_ready;

  assign instr = instr_i;
  assign by_queue = instr_q.gather || instr_q.scatter;
  assign remaining = (count_q > 17'(instr_q.queue_first)) ? count_q - 17'(instr_q.queue_first) : '0;
  assign operand_end = 17'(instr_q.a_address[ActShift-1:0]) + 17'(instr_q.depth);
  assign entries_inside = !(instr_q.row_scale || instr_q.track_max)
      || 18'(instr_q.row_base) + 18'(rows_q) <= 18'(RowEntries);
  assign instr_ready_o = state_q == Idle && !steps_pending_q && !places_pending_q;
  assign accept = instr_valid_i && instr_ready_o;
  assign start = state_q == Check && !no_rows_q && entries_inside;
  assign empty = state_q == Check && no_rows_q && in_flight_q == 2'd1;

  always_ff @(posedge clk_i) begin
    if (accept) begin
      instr_q <= instr_i;
      count_q <= queue_count_i[ExpertBits'(instr.queue)];
      slot_q <= ~slot_q;
    end
    if (state_q == Prepare) begin
      rows_q <= (by_queue && remaining < 17'(instr_q.rows)) ? remaining[15:0] : instr_q.rows;
      no_rows_q <= instr_q.rows == '0 || (by_queue && count_q <= 17'(instr_q.queue_first));
      steps_q <= instr_q.depth >> DepthShift;
      words_q <= (SlotBits + 1)'((operand_end + 17'(2 * TileColumns - 1)) >> ActShift);
      column_tiles_q <= 16'((17'(instr_q.columns) + 17'(TileColumns - 1)) >> ColumnShift);
      tail_columns_q <= (instr_q.columns[ColumnShift-1:0] == '0)
          ? (ColumnShift + 1)'(TileColumns) : (ColumnShift + 1)'(instr_q.columns[ColumnShift-1:0]);
    end
    if (start) begin
      steps_pending_q <= 1'b1;
      places_pending_q <= 1'b1;
    end
    if (steps_start) steps_pending_q <= 1'b0;
    if (places_pending_q && places_ready) places_pending_q <= 1'b0;
    if (rst_ni) unique case (state_q)
      Idle: if (accept) state_q <= Prepare;
      Prepare: state_q <= Check;
      Check: begin
        if (start) state_q <= Fetch;
        else if (empty) state_q <= Idle;
        else if (!no_rows_q) state_q <= Faulted;
      end
      Fetch: if (fetch_ready) state_q <= Idle;
      Faulted: ;
    endcase
    if (!rst_ni) begin
      state_q <= Idle;
      slot_q <= 1'b1;
      steps_pending_q <= 1'b0;
      places_pending_q <= 1'b0;
    end
  end

  // --- completion and faults, in order ---

  logic [1:0] fault_q;
  logic reported_q;
  logic finished, writer_slot, fetch_slot, write_fault;
  logic [1:0] weight_slot_q;
  logic [1:0] new_fault;

  assign write_fault = act_wr_fault_i != '0 || weight_wr_fault_i;
  assign done_o = (finished && !write_fault && !fault_q[oldest_q]) || empty;
  assign fault_o = fault_q[oldest_q] && !reported_q;
  assign fault_cause_o = moesaic_isa_pkg::FAULT_ADDRESS;
  assign fault_older_o = 1'b1;

  always_comb begin
    new_fault = '0;
    if (state_q == Check && !no_rows_q && !entries_inside) new_fault[slot_q] = 1'b1;
    if (act_rd_fault_i[ActPorts-1:0] != '0) new_fault[fetch_slot] = 1'b1;
    if (act_rd_fault_i[2*ActPorts-1:ActPorts] != '0) new_fault[oldest_q] = 1'b1;
    if (weight_rd_fault_i) new_fault[weight_slot_q[1]] = 1'b1;
    if (write_fault) new_fault[writer_slot] = 1'b1;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      in_flight_q <= '0;
      oldest_q <= 1'b0;
      fault_q <= '0;
      reported_q <= 1'b0;
    end else begin
      in_flight_q <= in_flight_q + 2'(accept) - 2'(done_o);
      oldest_q <= oldest_q ^ done_o;
      fault_q <= fault_q | new_fault;
      reported_q <= reported_q || fault_o;
    end
  end

  // --- the steps ---

  typedef enum logic [1:0] {
    Wait,
    Parameters,
    Steps
  } step_state_t;

  // What the drain needs of the instruction.
  typedef struct packed {
    logic row_scale;
    logic table_enable;
    logic table_index;
    logic track_max;
    logic weigh;
    logic [2:0] score_shift;
    logic [7:0] output_shift;
  } mode_t;

  step_state_t step_state_q;
  mode_t step_mode_q;
  logic step_slot_q;
  logic [SlotBits:0] step_words_q;
  logic [15:0] tile_count_q, step_count_q;
  logic [ColumnShift:0] step_tail_q;
  logic [ActShift-DepthShift-1:0] first_part_q;
  logic [31-WordShift:0] b_first_q, b_stride_q, parameters_first_q, parameters_stride_q;

  logic [EntryBits-1:0] entry_q;  // of the row tile's row 0
  logic [15:0] left_q, left_after, column_tile_q, step_q;
  logic [CountBits-1:0] tile_rows_q, tile_groups_q;  // of the row tile, which `left_q` says
  logic [SlotBits:0] filled, released_q;
  logic [SlotBits+PartBits:0] position_q;  // of the step in the row of a, {word, part}
  logic [47:0] b_tile_q, b_step_q, parameters_q, read_address;
  logic parameter_word_q;
  logic reads_blocks_q, holds_blocks_q;  // a block for every column tile; and there is room for all of them
  logic first_row_tile_q, next_parameters;
  logic [BlockBits-1:0] block_write_q, block_first_q, block_q;  // places: for the next block read, of the first, of this tile
  logic first_column_tile, last_column_tile, last_row_tile_q, last_step, available, drain_ready;
  logic read_parameter, step, tile_ends;

  logic [$clog2(RowQueue):0] groups_free_q;
  logic [$clog2(TileQueue):0] tiles_promised_q;
  logic [CountBits-1:0] leaving_q;
  logic row_taken, tile_taken;

  function automatic logic [CountBits-1:0] rows_of_tile(input logic [15:0] left);
    rows_of_tile = (left >= 16'(TileRows)) ? CountBits'(TileRows) : CountBits'(left);
  endfunction

  function automatic logic [CountBits-1:0] groups_of_tile(input logic [15:0] left);
    groups_of_tile = CountBits'(({1'b0, rows_of_tile(left)} + (CountBits + 1)'(ActPorts - 1)) >> PortBits);
  endfunction

  assign left_after = left_q - 16'(TileRows);
  assign first_column_tile = column_tile_q == '0;
  assign last_column_tile = column_tile_q == tile_count_q - 16'd1;
  assign last_step = step_q == step_count_q - 16'd1;
  assign available = filled - released_q > position_q[SlotBits+PartBits:PartBits];
  assign drain_ready = leaving_q == '0 && tiles_promised_q != ($clog2(TileQueue) + 1)'(TileQueue)
      && groups_free_q >= ($clog2(RowQueue) + 1)'(tile_groups_q);
  assign next_parameters = reads_blocks_q && (!holds_blocks_q || (first_row_tile_q && !last_column_tile));
  assign read_parameter = step_state_q == Parameters;
  assign step = step_state_q == Steps && available && (!last_step || drain_ready);
  assign tile_ends = step && last_step;
  assign steps_start = steps_pending_q && (step_state_q == Wait || (tile_ends && last_column_tile && last_row_tile_q));
  assign read_address = read_parameter ? parameters_q + 48'(parameter_word_q) : b_step_q;
  assign array_o = step;
  assign operand_stall_o = step_state_q == Steps && !available;
  assign drain_stall_o = step_state_q == Steps && available && last_step && !drain_ready;

  always_ff @(posedge clk_i) begin
    if (read_parameter) parameter_word_q <= (ParameterWords == 2) && !parameter_word_q;
    if (read_parameter && (ParameterWords == 1 || parameter_word_q)) begin
      step_state_q <= Steps;
      block_write_q <= block_write_q + 1'b1;
    end
    if (step) begin
      step_q <= step_q + 16'd1;
      position_q <= position_q + 1'b1;
      b_step_q <= b_step_q + 48'd1;
    end
    if (tile_ends) begin
      step_q <= '0;
      position_q <= (SlotBits + PartBits + 1)'(first_part_q);
      column_tile_q <= column_tile_q + 16'd1;
      b_tile_q <= b_tile_q + 48'(b_stride_q);
      b_step_q <= b_tile_q + 48'(b_stride_q);
      parameters_q <= parameters_q + 48'(parameters_stride_q);
      if (last_column_tile) begin
        column_tile_q <= '0;
        b_tile_q <= 48'(b_first_q);
        b_step_q <= 48'(b_first_q);
        parameters_q <= 48'(parameters_first_q);
        entry_q <= entry_q + EntryBits'(TileRows);
        left_q <= left_after;
        tile_rows_q <= rows_of_tile(left_after);
        tile_groups_q <= groups_of_tile(left_after);
        last_row_tile_q <= left_after <= 16'(TileRows);
        first_row_tile_q <= 1'b0;
        released_q <= released_q + step_words_q;
      end
      if (next_parameters) block_q <= block_write_q;
      else if (reads_blocks_q) block_q <= last_column_tile ? block_first_q : block_q + 1'b1;
      if (last_column_tile && last_row_tile_q) step_state_q <= Wait;
      else if (next_parameters) step_state_q <= Parameters;
    end
    if (steps_start) begin
      step_state_q <= instr_q.row_scale ? Steps : Parameters;
      step_slot_q <= slot_q;
      step_mode_q <= {
        instr_q.row_scale, instr_q.table_enable, instr_q.table_index, instr_q.track_max,
        instr_q.scatter && instr_q.destination == 3'(moesaic_isa_pkg::DESTINATION_RESIDUAL), instr_q.score_shift,
        instr_q.output_shift
      };
      reads_blocks_q <= !instr_q.row_scale && instr_q.param_stride != '0;
      holds_blocks_q <= column_tiles_q <= 16'(ParameterTiles);
      first_row_tile_q <= 1'b1;
      block_first_q <= block_write_q;
      block_q <= block_write_q;
      step_words_q <= words_q;
      tile_count_q <= column_tiles_q;
      step_count_q <= steps_q;
      step_tail_q <= tail_columns_q;
      first_part_q <= instr_q.a_address[ActShift-1:DepthShift];
      b_first_q <= instr_q.b_address[31:WordShift];
      b_stride_q <= instr_q.b_stride[31:WordShift];
      parameters_first_q <= instr_q.param_address[31:WordShift];
      parameters_stride_q <= instr_q.param_stride[31:WordShift];
      entry_q <= EntryBits'(instr_q.row_base);
      left_q <= rows_q;
      tile_rows_q <= rows_of_tile(rows_q);
      tile_groups_q <= groups_of_tile(rows_q);
      last_row_tile_q <= rows_q <= 16'(TileRows);
      column_tile_q <= '0;
      step_q <= '0;
      parameter_word_q <= 1'b0;
      position_q <= (SlotBits + PartBits + 1)'(instr_q.a_address[ActShift-1:DepthShift]);
      b_tile_q <= 48'(instr_q.b_address[31:WordShift]);
      b_step_q <= 48'(instr_q.b_address[31:WordShift]);
      parameters_q <= 48'(instr_q.param_address[31:WordShift]);
    end
    if (!rst_ni) begin
      step_state_q <= Wait;
      released_q <= '0;
      block_write_q <= '0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      groups_free_q <= ($clog2(RowQueue) + 1)'(RowQueue);
      tiles_promised_q <= '0;
      leaving_q <= '0;
    end else begin
      groups_free_q <= groups_free_q + ($clog2(RowQueue) + 1)'(row_taken)
          - (tile_ends ? ($clog2(RowQueue) + 1)'(tile_groups_q) : '0);
      tiles_promised_q <= tiles_promised_q + ($clog2(TileQueue) + 1)'(tile_ends) - ($clog2(TileQueue) + 1)'(tile_taken);
      if (tile_ends) leaving_q <= tile_groups_q - 1'b1;
      else if (leaving_q != '0) leaving_q <= leaving_q - 1'b1;
    end
  end

  // --- reads: one weight word per step or parameter word, and the operands of the step in the buffer ---

  logic [ReadCycles-1:0] step_valid_q, step_first_q, parameter_valid_q;
  logic [ReadCycles-2:0] parameter_high_q;
  logic [ReadCycles:0] step_last_q;
  logic [SlotBits-1:0] operand_slot_q;
  logic [PartBits-1:0] operand_part_q;
  logic [TileRows-1:0][TileDepth-1:0][7:0] operands;
  logic [ReadCycles-2:0][BlockBits-1:0] parameter_block_q;

  always_ff @(posedge clk_i) begin
    weight_rd_address_o <= (read_address[47:32] != '0) ? '1 : read_address[31:0];
    weight_slot_q <= {weight_slot_q[0], step_slot_q};
    operand_slot_q <= released_q[SlotBits-1:0] + position_q[PartBits+:SlotBits];
    operand_part_q <= position_q[PartBits-1:0];
    step_first_q <= {step_first_q[ReadCycles-2:0], step_q == '0};
    parameter_high_q <= {parameter_high_q[ReadCycles-3:0], parameter_word_q};
    parameter_block_q <= {parameter_block_q[ReadCycles-3:0], block_write_q};
    if (!rst_ni) begin
      step_valid_q <= '0;
      step_last_q <= '0;
      parameter_valid_q <= '0;
    end else begin
      step_valid_q <= {step_valid_q[ReadCycles-2:0], step};
      step_last_q <= {step_last_q[ReadCycles-1:0], tile_ends};
      parameter_valid_q <= {parameter_valid_q[ReadCycles-2:0], read_parameter};
    end
  end

  assign weight_rd_valid_o = step_valid_q[0] || parameter_valid_q[0];

  logic fetch_lookup;
  logic [15:0] fetch_index, result_index;
  logic [ExpertBits-1:0] result_expert;
  logic [ActPorts-1:0] buffer_write;
  logic [CountBits-1:0] buffer_group;
  logic [SlotBits-1:0] buffer_slot;
  logic [ActPorts-1:0][16*TileColumns-1:0] buffer_data;

  assign queue_rd_expert_o = fetch_lookup ? ExpertBits'(instr_q.queue) : result_expert;
  assign queue_rd_index_o = IndexBits'(fetch_lookup ? fetch_index : result_index);

  moesaic_operand_fetch #(
      .TileRows   (TileRows),
      .TileColumns(TileColumns),
      .ActPorts   (ActPorts),
      .RingWords  (RingWords)
  ) u_fetch (
      .clk_i,
      .rst_ni,
      .start_i        (start),
      .ready_o        (fetch_ready),
      .slot_i         (slot_q),
      .gather_i       (instr_q.gather),
      .queue_first_i  (instr_q.queue_first),
      .rows_i         (rows_q),
      .words_i        (words_q),
      .address_i      (instr_q.a_address >> ActShift),
      .pitch_i        (instr_q.a_pitch[31:ActShift]),
      .queue_valid_o  (fetch_lookup),
      .queue_index_o  (fetch_index),
      .queue_token_i  (queue_rd_token_i),
      .rd_valid_o     (act_rd_valid_o[ActPorts-1:0]),
      .rd_ready_i     (act_rd_ready_i[ActPorts-1:0]),
      .rd_address_o   (act_rd_address_o[ActPorts-1:0]),
      .rd_data_valid_i(act_rd_data_valid_i[ActPorts-1:0]),
      .rd_data_i      (act_rd_data_i[ActPorts-1:0]),
      .fault_slot_o   (fetch_slot),
      .wr_enable_o    (buffer_write),
      .wr_group_o     (buffer_group),
      .wr_slot_o      (buffer_slot),
      .wr_data_o      (buffer_data),
      .filled_o       (filled),
      .released_i     (released_q)
  );

  moesaic_operand_buffer #(
      .TileRows   (TileRows),
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth),
      .ActPorts   (ActPorts),
      .RingWords  (RingWords)
  ) u_buffer (
      .clk_i,
      .wr_enable_i(buffer_write),
      .wr_group_i (buffer_group),
      .wr_slot_i  (buffer_slot),
      .wr_data_i  (buffer_data),
      .rd_slot_i  (operand_slot_q),
      .rd_part_i  (operand_part_q),
      .rd_data_o  (operands)
  );

  // --- array, drain, write ---

  logic [CountBits-1:0] array_groups, record_rows;
  logic [EntryBits-1:0] record_entry;
  logic [ColumnShift:0] record_columns;
  logic record_first, record_last;
  mode_t record_mode;
  logic [BlockBits-1:0] record_block;
  logic row_valid;
  logic [ActPorts-1:0][TileColumns-1:0][31:0] row;

  moesaic_delay_line #(
      .Width ($bits(array_groups)),
      .Stages(ReadCycles)
  ) u_groups_delay (
      .clk_i,
      .data_i(tile_groups_q),
      .data_o(array_groups)
  );

  moesaic_matmul_array #(
      .TileRows   (TileRows),
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth),
      .ActPorts   (ActPorts)
  ) u_array (
      .clk_i,
      .rst_ni,
      .valid_i    (step_valid_q[ReadCycles-1]),
      .first_i    (step_first_q[ReadCycles-1]),
      .last_i     (step_last_q[ReadCycles-1]),
      .groups_i   (array_groups),
      .a_i        (operands),
      .b_i        (weight_rd_data_i),
      .row_valid_o(row_valid),
      .row_o      (row)
  );

  // The record of a tile follows its parameters.
  moesaic_delay_line #(
      .Width ($bits({record_mode, record_block, record_rows, record_entry, record_columns, record_first, record_last})),
      .Stages(ReadCycles + 1)
  ) u_record_delay (
      .clk_i,
      .data_i({
        step_mode_q, block_q, tile_rows_q, entry_q, last_column_tile ? step_tail_q : (ColumnShift + 1)'(TileColumns), first_column_tile,
        last_column_tile
      }),
      .data_o({record_mode, record_block, record_rows, record_entry, record_columns, record_first, record_last})
  );

  logic value_valid, value_ready, score_valid, score_ready;
  logic [15:0] score;
  logic [ActPorts-1:0][TileColumns-1:0][15:0] value;

  moesaic_matmul_drain #(
      .TileRows   (TileRows),
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth),
      .ActPorts   (ActPorts),
      .RowEntries (RowEntries),
      .RowQueue   (RowQueue),
      .TileQueue  (TileQueue),
      .ParameterTiles(ParameterTiles)
  ) u_drain (
      .clk_i,
      .rst_ni,
      .block_wr_valid_i   (parameter_valid_q[ReadCycles-2]),
      .block_wr_address_i (parameter_block_q[ReadCycles-2]),
      .block_wr_high_i    (parameter_high_q[ReadCycles-2]),
      .block_wr_data_i    (weight_rd_data_i),
      .tile_valid_i       (step_last_q[ReadCycles]),
      .tile_row_scale_i   (record_mode.row_scale),
      .tile_table_enable_i(record_mode.table_enable),
      .tile_table_index_i (record_mode.table_index),
      .tile_track_max_i   (record_mode.track_max),
      .tile_weigh_i       (record_mode.weigh),
      .tile_score_shift_i (record_mode.score_shift),
      .tile_output_shift_i(record_mode.output_shift),
      .tile_rows_i        (record_rows),
      .tile_entry_i       (record_entry),
      .tile_columns_i     (record_columns),
      .tile_first_i       (record_first),
      .tile_last_i        (record_last),
      .tile_block_i       (record_block),
      .tile_taken_o       (tile_taken),
      .row_valid_i        (row_valid),
      .row_i              (row),
      .row_taken_o        (row_taken),
      .score_valid_i      (score_valid),
      .score_ready_o      (score_ready),
      .score_i            (score),
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
      .value_valid_o      (value_valid),
      .value_ready_i      (value_ready),
      .value_o            (value)
  );

  logic place_valid, place_ready, place_slot, place_final;
  logic [2:0] place_destination;
  logic [ActPorts-1:0] place_used, place_half;
  logic [ActPorts-1:0][31:0] place_address;
  logic [ColumnShift-1:0] place_lane;
  logic [ColumnShift:0] place_columns;
  logic [ActPorts-1:0][16*TileColumns-1:0] place_old;

  moesaic_result_address #(
      .TileRows   (TileRows),
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth),
      .ActPorts   (ActPorts),
      .Experts    (Experts)
  ) u_address (
      .clk_i,
      .rst_ni,
      .start_valid_i  (places_pending_q),
      .start_ready_o  (places_ready),
      .slot_i         (slot_q),
      .destination_i  (instr_q.destination),
      .scatter_i      (instr_q.scatter),
      .queue_i        (ExpertBits'(instr_q.queue)),
      .queue_first_i  (instr_q.queue_first),
      .rows_i         (rows_q),
      .column_tiles_i (column_tiles_q),
      .tail_columns_i (tail_columns_q),
      .address_i      (instr_q.d_address),
      .pitch_i        (instr_q.d_pitch),
      .oldest_i       (oldest_q),
      .queue_ready_i  (!fetch_lookup),
      .queue_expert_o (result_expert),
      .queue_index_o  (result_index),
      .queue_token_i  (queue_rd_token_i),
      .queue_score_i  (queue_rd_score_i),
      .score_valid_o  (score_valid),
      .score_ready_i  (score_ready),
      .score_o        (score),
      .rd_valid_o     (act_rd_valid_o[2*ActPorts-1:ActPorts]),
      .rd_ready_i     (act_rd_ready_i[2*ActPorts-1:ActPorts]),
      .rd_address_o   (act_rd_address_o[2*ActPorts-1:ActPorts]),
      .rd_data_valid_i(act_rd_data_valid_i[2*ActPorts-1:ActPorts]),
      .rd_data_i      (act_rd_data_i[2*ActPorts-1:ActPorts]),
      .valid_o        (place_valid),
      .ready_i        (place_ready),
      .slot_o         (place_slot),
      .destination_o  (place_destination),
      .used_o         (place_used),
      .address_o      (place_address),
      .half_o         (place_half),
      .lane_o         (place_lane),
      .columns_o      (place_columns),
      .final_o        (place_final),
      .old_o          (place_old)
  );

  moesaic_result_writer #(
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth),
      .ActPorts   (ActPorts)
  ) u_writer (
      .clk_i,
      .rst_ni,
      .value_valid_i (value_valid),
      .value_ready_o (value_ready),
      .value_i       (value),
      .place_valid_i (place_valid),
      .place_ready_o (place_ready),
      .slot_i        (place_slot),
      .destination_i (place_destination),
      .used_i        (place_used),
      .address_i     (place_address),
      .half_i        (place_half),
      .lane_i        (place_lane),
      .columns_i     (place_columns),
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
      .finished_o    (finished),
      .slot_o        (writer_slot)
  );

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      never_more_than_two: assert (in_flight_q != 2'd2 || done_o || !accept);
      in_flight_in_range: assert (in_flight_q <= 2'd2);
      completes_only_what_is_in_flight: assert (in_flight_q != '0 || !done_o);
      weights_keep_step_with_operands: assert (weight_rd_data_valid_i == (step_valid_q[ReadCycles-1] || parameter_valid_q[ReadCycles-1]));
      groups_free_in_range: assert (groups_free_q <= ($clog2(RowQueue) + 1)'(RowQueue));
      tiles_promised_in_range: assert (tiles_promised_q <= ($clog2(TileQueue) + 1)'(TileQueue));
      releases_only_what_is_filled: assert ((SlotBits + 1)'(filled - released_q) <= (SlotBits + 1)'(RingWords));
      loops_never_wrap: assert (step_state_q == Wait || (left_q != '0 && step_q < step_count_q && column_tile_q < tile_count_q));
    end
  end
`endif

endmodule
