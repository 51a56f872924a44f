// Where the rows of a product go, in the order in which they drain, and what residual rows hold before.
//
// Per group of ActPorts rows of every tile (per row if they are scattered): address_o of each row (a word of act, or, the
// same for all, of weight for keys and values; for keys the word of the tile's first TileDepth columns), half_o (the half of
// the act word, int8), used_o (the rows there are), lane_o (the first row's place in weight words), columns_o (of the tile),
// final_o (the product's last rows), and slot_o and destination_o of the instruction.
//
// For residual destinations the words are read from act first and come at old_o. The reads run many rows ahead, so no two
// rows of one product may share a word, but they wait until the instruction is the oldest, oldest_i: until then, an earlier
// product may still write. Router scores of scattered rows come at score_o, in the same order, as soon as they are known.
// An address beyond 32 bits becomes the highest one, so that it faults in the memory instead of wrapping.
module moesaic_result_address #(
    parameter int unsigned TileRows = 4,
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth = 4,
    parameter int unsigned ActPorts = 2,
    parameter int unsigned Experts = 16
) (
    input  logic                                          clk_i,
    input  logic                                          rst_ni,
    // instructions
    input  logic                                          start_valid_i,
    output logic                                          start_ready_o,
    input  logic                                          slot_i,
    input  logic [2:0]                                    destination_i,
    input  logic                                          scatter_i,
    input  logic [$clog2(Experts)-1:0]                    queue_i,
    input  logic [15:0]                                   queue_first_i,
    input  logic [15:0]                                   rows_i,           // at least 1
    input  logic [15:0]                                   column_tiles_i,
    input  logic [$clog2(TileColumns):0]                  tail_columns_i,
    input  logic [31:0]                                   address_i,        // bytes
    input  logic [31:0]                                   pitch_i,          // bytes
    input  logic                                          oldest_i,
    // tokens of the expert queue, moesaic_memory_pkg::QUEUE_READ_CYCLES after their index, when it is free
    input  logic                                          queue_ready_i,
    output logic [$clog2(Experts)-1:0]                    queue_expert_o,
    output logic [15:0]                                   queue_index_o,
    input  logic [15:0]                                   queue_token_i,
    input  logic [15:0]                                   queue_score_i,
    output logic                                          score_valid_o,
    input  logic                                          score_ready_i,
    output logic [15:0]                                   score_o,
    // activation memory
    output logic [ActPorts-1:0]                           rd_valid_o,
    input  logic [ActPorts-1:0]                           rd_ready_i,
    output logic [ActPorts-1:0][31:0]                     rd_address_o,
    input  logic [ActPorts-1:0]                           rd_data_valid_i,
    input  logic [ActPorts-1:0][16*TileColumns-1:0]       rd_data_i,
    // rows
    output logic                                          valid_o,
    input  logic                                          ready_i,
    output logic                                          slot_o,
    output logic [2:0]                                    destination_o,
    output logic [ActPorts-1:0]                           used_o,
    output logic [ActPorts-1:0][31:0]                     address_o,
    output logic [ActPorts-1:0]                           half_o,
    output logic [$clog2(TileColumns)-1:0]                lane_o,
    output logic [$clog2(TileColumns):0]                  columns_o,
    output logic                                          final_o,
    output logic [ActPorts-1:0][16*TileColumns-1:0]       old_o
);

  localparam int unsigned ColumnShift = $clog2(TileColumns);
  localparam int unsigned DepthShift = $clog2(TileDepth);
  localparam int unsigned WordShift = ColumnShift + DepthShift;
  // A multiplier takes that many bits of a pitch; behind a longer one, the second row is beyond any memory already.
  localparam int unsigned PitchBits = 26;
  localparam int unsigned CountBits = $clog2(TileRows + 1);
  localparam int unsigned Ahead = 32;
  localparam int unsigned AheadBits = $clog2(Ahead);
  // An address in halves of act words: base, index times pitch, column part.
  localparam int unsigned SumBits = 48;

  // --- the instruction ---

  logic active_q, slot_q, scatter_q;
  logic [2:0] destination_q;
  logic [ColumnShift:0] tail_columns_q;
  logic [15:0] column_tiles_q, queue_index_q;
  logic [31:0] base_q;              // in halves of act words, or in weight words
  logic [PitchBits-1:0] pitch_q;    // in act words, or in weight words
  logic pitch_half_q;               // and half an act word
  logic start, to_values, start_to_weight;
  logic [31:0] start_pitch;

  assign start = start_valid_i && start_ready_o;
  assign start_to_weight = destination_i == 3'(moesaic_isa_pkg::DESTINATION_KEYS) || destination_i == 3'(moesaic_isa_pkg::DESTINATION_VALUES);
  assign start_pitch = start_to_weight ? pitch_i >> WordShift : pitch_i >> (ColumnShift + 1);
  assign to_values = destination_q == 3'(moesaic_isa_pkg::DESTINATION_VALUES);

  always_ff @(posedge clk_i) begin
    if (start) begin
      slot_q <= slot_i;
      destination_q <= destination_i;
      scatter_q <= scatter_i;
      queue_expert_o <= queue_i;
      tail_columns_q <= tail_columns_i;
      column_tiles_q <= column_tiles_i;
      base_q <= start_to_weight ? address_i >> WordShift : address_i >> ColumnShift;
      pitch_q <= (start_pitch >> PitchBits != '0) ? '1 : PitchBits'(start_pitch);
      pitch_half_q <= !start_to_weight && pitch_i[ColumnShift];
    end
  end

  // --- the loops: row tiles, column tiles, rows of the tile ---

  logic [15:0] tile_row_q, left_q;  // first row of the row tile; rows from there to the end
  logic [15:0] column_tile_q;
  logic [CountBits-1:0] row_in_tile_q, step_rows;
  logic [AheadBits:0] in_flight_q;
  logic step, ends_tile, ends_row_tile, last_row_tile, last_column_tile;
  logic [15:0] row;

  assign start_ready_o = !active_q;
  assign row = tile_row_q + 16'(row_in_tile_q);
  assign queue_index_o = queue_index_q + row;
  assign step_rows = scatter_q ? CountBits'(1) : CountBits'(ActPorts);
  assign step = active_q && in_flight_q != (AheadBits + 1)'(Ahead) && (!scatter_q || queue_ready_i);
  assign last_row_tile = left_q <= 16'(TileRows);
  assign last_column_tile = column_tile_q == column_tiles_q - 16'd1;
  assign ends_tile = row_in_tile_q == CountBits'(TileRows) - step_rows || 16'(row_in_tile_q) + 16'(step_rows) >= left_q;
  assign ends_row_tile = ends_tile && last_column_tile;

  always_ff @(posedge clk_i) begin
    if (step) begin
      row_in_tile_q <= ends_tile ? '0 : row_in_tile_q + step_rows;
      if (ends_tile) column_tile_q <= ends_row_tile ? '0 : column_tile_q + 1'b1;
      if (ends_row_tile) begin
        tile_row_q <= tile_row_q + 16'(TileRows);
        left_q <= left_q - 16'(TileRows);
        if (last_row_tile) active_q <= 1'b0;
      end
    end
    if (start) begin
      active_q <= 1'b1;
      left_q <= rows_i;
      queue_index_q <= queue_first_i;
      tile_row_q <= '0;
      column_tile_q <= '0;
      row_in_tile_q <= '0;
    end
    if (!rst_ni) active_q <= 1'b0;
  end

  // --- address = base + index * pitch + column part, in halves of act words or in weight words ---
  // The next instruction may start while the last rows of one are on their way, so they take along what they need of it.
  // A step waits for the queue's answer, which makes its operands, of one multiplier with all its registers: index and pitch,
  // product and column part, and their sum.

  typedef struct packed {
    logic ends_product;
    logic [ActPorts-1:0] used;
    logic [ColumnShift:0] columns;
    logic [ColumnShift-1:0] lane;
    logic slot;
    logic [2:0] destination;
    logic weigh;
    logic scatter;
    logic half_step;
    logic [PitchBits-1:0] pitch;
    logic [31:0] base;
    logic [15:0] row;
    logic [15:0] column_tile;
  } step_t;

  localparam int unsigned QueueCycles = moesaic_memory_pkg::QUEUE_READ_CYCLES;
  // Stages behind the answer: operands, product, sum.
  localparam int unsigned Stages = 3;

  logic [QueueCycles+Stages-1:0] valid_q;
  step_t this_step, waited, operands_q, multiplied_q;
  /* verilator lint_off UNUSEDSIGNAL */
  step_t summed_q;
  /* verilator lint_on UNUSEDSIGNAL */
  logic [Stages-1:0][15:0] score_q;
  logic [Stages-1:0] weight_q;
  logic [15:0] index;
  logic [16:0] factor;   // the index in halves
  logic [15:0] index_q;
  logic [SumBits-1:0] part, address_sum;
  /* verilator lint_off UNUSEDSIGNAL */
  logic [47:0] cascade;
  /* verilator lint_on UNUSEDSIGNAL */
  logic [ActPorts-1:0] used;

  for (genvar p = 0; p < ActPorts; p++) begin : gen_used
    assign used[p] = p == 0 || (!scatter_q && 16'(row_in_tile_q) + 16'(p) < left_q);
  end

  assign this_step = {
    ends_row_tile && last_row_tile, used, last_column_tile ? tail_columns_q : (ColumnShift + 1)'(TileColumns),
    to_values ? ColumnShift'(row[DepthShift-1:0]) : row[ColumnShift-1:0], slot_q, destination_q,
    scatter_q && destination_q == 3'(moesaic_isa_pkg::DESTINATION_RESIDUAL), scatter_q, pitch_half_q, pitch_q, base_q, row, column_tile_q
  };

  moesaic_delay_line #(
      .Width ($bits(this_step)),
      .Stages(QueueCycles)
  ) u_wait (
      .clk_i,
      .data_i  (this_step),
      .data_o  (waited)
  );

  logic waited_to_keys, waited_to_values;

  assign waited_to_keys = waited.destination == 3'(moesaic_isa_pkg::DESTINATION_KEYS);
  assign waited_to_values = waited.destination == 3'(moesaic_isa_pkg::DESTINATION_VALUES);

  always_comb begin
    if (waited_to_keys) index = waited.row >> ColumnShift;
    else if (waited_to_values) index = waited.column_tile;
    else index = waited.scatter ? queue_token_i : waited.row;
    // the queue memory's answer, which comes late in the cycle, is only chosen
    factor = (waited_to_keys || waited_to_values) ? {1'b0, index} : {index, 1'b0};
    case (operands_q.destination)
      3'(moesaic_isa_pkg::DESTINATION_KEYS): part = SumBits'(operands_q.base) + (SumBits'(operands_q.column_tile) << (ColumnShift - DepthShift));
      3'(moesaic_isa_pkg::DESTINATION_VALUES): part = SumBits'(operands_q.base) + SumBits'(operands_q.row >> DepthShift);
      3'(moesaic_isa_pkg::DESTINATION_INT8): begin
        part = SumBits'(operands_q.base) + SumBits'(operands_q.column_tile) + SumBits'(operands_q.half_step ? index_q : '0);
      end
      default: part = SumBits'(operands_q.base) + (SumBits'(operands_q.column_tile) << 1);
    endcase
  end

  moesaic_dsp48_mac u_address (
      .clk_i,
      .a_i      ({1'b0, waited.pitch}),
      .b_i      ({1'b0, factor}),
      .c_i      (part),
      .cascade_i('0),
      .cascade_o(cascade),
      .sum_o    (address_sum)
  );

  // Not reset: what means something only with a row.
  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[QueueCycles+Stages-2:0], step} : '0;
    operands_q <= waited;
    multiplied_q <= operands_q;
    summed_q <= multiplied_q;
    weight_q <= {weight_q[Stages-2:0], waited_to_keys || waited_to_values};
    score_q <= {score_q[Stages-2:0], queue_score_i};
    index_q <= index;
  end

  logic [ActPorts-1:0][31:0] new_address;
  logic [ActPorts-1:0] new_half;

  typedef struct packed {
    logic [ActPorts-1:0][31:0] address;
    logic [ActPorts-1:0] half;
    logic [ActPorts-1:0] used;
    logic slot;
    logic [2:0] destination;
    logic [ColumnShift-1:0] lane;
    logic [ColumnShift:0] columns;
    logic ends_product;
  } place_t;

  place_t record;

  always_comb begin
    logic [SumBits-1:0] sum, word;
    for (int p = 0; p < ActPorts; p++) begin
      sum = address_sum;
      if (p != 0 && !weight_q[Stages-1]) sum = address_sum + SumBits'({summed_q.pitch, summed_q.half_step});
      word = weight_q[Stages-1] ? sum : sum >> 1;
      new_address[p] = (word[SumBits-1:32] != '0) ? '1 : word[31:0];
      new_half[p] = !weight_q[Stages-1] && sum[0];
    end
    record = {
      new_address, new_half, summed_q.used, summed_q.slot, summed_q.destination, summed_q.lane,
      summed_q.columns, summed_q.ends_product
    };
  end

  // --- scores ---

  logic score_push, score_ready;

  assign score_push = valid_q[QueueCycles+Stages-1] && summed_q.weigh;

  moesaic_fifo #(
      .Width($bits(score_o)),
      .Depth(Ahead)
  ) u_scores (
      .clk_i,
      .rst_ni,
      .valid_i(score_push),
      .ready_o(score_ready),
      .data_i (score_q[Stages-1]),
      .valid_o(score_valid_o),
      .ready_i(score_ready_i),
      .data_o (score_o)
  );

  // --- the old words: rows leave the first queue when their words are asked for; the answers meet them in the second ---

  logic queued_valid, queued_residual, may_request, request_valid, request_ready, admit, located_ready, located_valid, residual;
  logic record_ready, taken;
  logic [ActPorts-1:0] old_valid, old_ready;
  place_t queued, located;

  moesaic_fifo #(
      .Width($bits(record)),
      .Depth(Ahead)
  ) u_pending (
      .clk_i,
      .rst_ni,
      .valid_i(valid_q[QueueCycles+Stages-1]),
      .ready_o(record_ready),
      .data_i (record),
      .valid_o(queued_valid),
      .ready_i(admit),
      .data_o (queued)
  );

  assign queued_residual = queued.destination == 3'(moesaic_isa_pkg::DESTINATION_RESIDUAL);
  assign may_request = queued.slot == oldest_i;
  assign request_valid = queued_valid && queued_residual && may_request;
  assign admit = !queued_residual || (may_request && request_ready);

  moesaic_port_buffer #(
      .Width($bits(rd_address_o)),
      .Ports(ActPorts)
  ) u_request (
      .clk_i,
      .rst_ni,
      .valid_i     (request_valid),
      .ready_o     (request_ready),
      .ports_i     (queued.used),
      .data_i      (queued.address),
      .port_valid_o(rd_valid_o),
      .port_ready_i(rd_ready_i),
      .data_o      (rd_address_o),
      .leaves_o    ()
  );

  moesaic_fifo #(
      .Width($bits(located)),
      .Depth(Ahead)
  ) u_located (
      .clk_i,
      .rst_ni,
      .valid_i(queued_valid && admit),
      .ready_o(located_ready),
      .data_i (queued),
      .valid_o(located_valid),
      .ready_i(taken),
      .data_o (located)
  );

  for (genvar p = 0; p < ActPorts; p++) begin : gen_old
    moesaic_fifo #(
        .Width($bits(old_o[p])),
        .Depth(Ahead)
    ) u_old (
        .clk_i,
        .rst_ni,
        .valid_i(rd_data_valid_i[p]),
        .ready_o(old_ready[p]),
        .data_i (rd_data_i[p]),
        .valid_o(old_valid[p]),
        .ready_i(taken && residual && used_o[p]),
        .data_o (old_o[p])
    );
  end

  assign {address_o, half_o, used_o, slot_o, destination_o, lane_o, columns_o, final_o} = located;
  assign residual = destination_o == 3'(moesaic_isa_pkg::DESTINATION_RESIDUAL);
  assign valid_o = located_valid && (!residual || (used_o & ~old_valid) == '0);
  assign taken = valid_o && ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) in_flight_q <= '0;
    else in_flight_q <= in_flight_q + (AheadBits + 1)'(step) - (AheadBits + 1)'(taken);
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      rows_in_flight_in_range: assert (in_flight_q <= (AheadBits + 1)'(Ahead));
      scores_never_refused: assert (score_ready || !score_push);
      records_never_refused: assert (record_ready || !valid_q[QueueCycles+Stages-1]);
      located_never_refused: assert (located_ready || !queued_valid || !admit);
      old_words_never_refused: assert ((old_ready | ~rd_data_valid_i) == '1);
    end
  end
`endif

endmodule
