// From sums to values: the array's rows wait in a queue, ActPorts of them per cycle are requantised, looked up in a table,
// and their maxima recorded; the values, saturated to 16 bits, come out in order at value_o.
//
// A tile brings along all it needs of its instruction, so that tiles of two instructions may follow one another. The rows
// of a weighed tile (scatter) go one by one, at value_o's row 0: the second set of requantiser lanes then multiplies what
// the first one made by the row's router score. Weighed and other rows are not in the pipeline at the same time.
//
// The parameters of the last ParameterTiles blocks that were written are at hand; a tile names its block.
//
// The pipeline never stalls: rows enter when the queue of values has room for them. Its caller has room for RowQueue groups
// of ActPorts rows and for TileQueue tiles (row_taken_o and tile_taken_o give it back). A tile's record must arrive before
// its first row. Rows, and blocks, come in the cycle after row_valid_i and block_wr_valid_i.
//
//   0: row taken | 1: read | 2..7: requantise | 8..11: table | 12: value          weighed rows: 8..13: requantise again | 14: value
//
// What is decided in a cycle is carried out a cycle later, by the slices of SliceColumns columns (moesaic_drain_columns), each with
// registers of its own: a register here has a load in every slice, one there at most 66 * SliceColumns.
module moesaic_matmul_drain #(
    parameter int unsigned TileRows = 4,
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth = 4,
    parameter int unsigned ActPorts = 2,
    parameter int unsigned RowEntries = 128,
    parameter int unsigned RowQueue = 16,
    parameter int unsigned TileQueue = 8,
    parameter int unsigned ParameterTiles = moesaic_isa_pkg::PARAMETER_BLOCKS
) (
    input  logic                                            clk_i,
    input  logic                                            rst_ni,
    // blocks of parameters, in one weight word, or in two with TileDepth = 4
    input  logic                                            block_wr_valid_i,
    input  logic [$clog2(ParameterTiles)-1:0]               block_wr_address_i,
    input  logic                                            block_wr_high_i,  // the second of two words
    /* verilator lint_off UNUSEDSIGNAL */
    input  logic [8*TileColumns*TileDepth-1:0]              block_wr_data_i,  // in the next cycle
    /* verilator lint_on UNUSEDSIGNAL */
    // tiles
    input  logic                                            tile_valid_i,
    input  logic                                            tile_row_scale_i,
    input  logic                                            tile_table_enable_i,
    input  logic                                            tile_table_index_i,
    input  logic                                            tile_track_max_i,
    input  logic                                            tile_weigh_i,
    input  logic [2:0]                                      tile_score_shift_i,
    input  logic [7:0]                                      tile_output_shift_i,
    input  logic [$clog2(TileRows+1)-1:0]                   tile_rows_i,
    input  logic [$clog2(RowEntries)-1:0]                   tile_entry_i,     // of row 0 in the row statistics
    input  logic [$clog2(TileColumns):0]                    tile_columns_i,
    input  logic                                            tile_first_i,     // column tile
    input  logic                                            tile_last_i,
    input  logic [$clog2(ParameterTiles)-1:0]               tile_block_i,
    output logic                                            tile_taken_o,
    // rows
    input  logic                                            row_valid_i,  // row_i comes in the next cycle
    input  logic [ActPorts-1:0][TileColumns-1:0][31:0]      row_i,
    output logic                                            row_taken_o,
    // router scores of the rows of weighed tiles
    input  logic                                            score_valid_i,
    output logic                                            score_ready_o,
    input  logic [15:0]                                     score_i,
    // row statistics
    output logic [ActPorts-1:0]                             max_we_o,
    output logic [ActPorts-1:0][$clog2(RowEntries)-1:0]     max_wr_address_o,
    output logic [ActPorts-1:0][15:0]                       max_wr_data_o,
    output logic [ActPorts-1:0][$clog2(RowEntries)-1:0]     scale_rd_address_o,
    input  logic [ActPorts-1:0][15:0]                       scale_rd_multiplier_i,
    input  logic [ActPorts-1:0][5:0]                        scale_rd_shift_i,
    // table writes
    input  logic                                            table_wr_valid_i,
    output logic                                            table_wr_ready_o,
    input  logic [31:0]                                     table_wr_address_i,
    input  logic [127:0]                                    table_wr_data_i,
    output logic                                            table_wr_fault_o,
    // values
    output logic                                            value_valid_o,
    input  logic                                            value_ready_i,
    output logic [ActPorts-1:0][TileColumns-1:0][15:0]      value_o
);

  localparam int unsigned EntryBits = $clog2(RowEntries);
  localparam int unsigned CountBits = $clog2(TileRows + 1);
  localparam int unsigned ColumnBits = $clog2(TileColumns) + 1;
  localparam int unsigned PortBits = $clog2(ActPorts);
  localparam logic [EntryBits-1:0] GroupMask = {EntryBits{1'b1}} << PortBits;  // of an entry: its group of ActPorts
  localparam int unsigned BlockBits = $clog2(ParameterTiles);
  localparam int unsigned BlockWords = 8 / TileDepth;
  localparam int unsigned WordColumns = TileColumns / BlockWords;
  localparam int unsigned SliceColumns = 4;
  localparam int unsigned Slices = TileColumns / SliceColumns;
  localparam int unsigned ValueQueue = 32;
  // From the cycle in which a row is taken to those in which it is at the requantiser, the table, and the queue of values.
  localparam int unsigned RowCycle = 2;
  localparam int unsigned RequantiseCycles = 6;
  localparam int unsigned TableCycles = moesaic_memory_pkg::TABLE_READ_CYCLES;
  localparam int unsigned ScaledCycle = RowCycle + RequantiseCycles;
  localparam int unsigned ValueCycle = ScaledCycle + TableCycles;
  localparam int unsigned WeighedCycle = ScaledCycle + RequantiseCycles;

  if (TileColumns % SliceColumns != 0 || WordColumns % SliceColumns != 0) begin : gen_check
    $fatal(1, "matmul_drain: TileColumns is %0d, a block's word must hold a multiple of %0d", TileColumns, SliceColumns);
  end

  // --- queues ---

  logic row_valid, tile_valid, tile_load, queue_valid, take, tile_ends, group_ends;
  logic tile_ready, value_next, value_push_q;

  typedef struct packed {
    logic row_scale;
    logic table_enable;
    logic table_index;
    logic track_max;
    logic weigh;
    logic [2:0] score_shift;
    logic first;
    logic last;
    logic [7:0] output_shift;
    logic [CountBits-1:0] rows;
    logic [EntryBits-1:0] entry;
    logic [ColumnBits-1:0] columns;
    logic [BlockBits-1:0] block;
  } tile_t;

  localparam int unsigned BlockEntryWidth = 8 * moesaic_isa_pkg::PARAMETER_BYTES;

  // In the queue, and the one whose rows are taken.
  tile_t queued;
  /* verilator lint_off UNUSEDSIGNAL */
  tile_t tile_q;
  /* verilator lint_on UNUSEDSIGNAL */
  // A cycle later, for the parameters of the first row that is taken from it then.
  logic tile_load_q;
  logic [BlockBits-1:0] block_q;

  moesaic_queue_level #(
      .Depth(RowQueue)
  ) u_rows (
      .clk_i,
      .rst_ni,
      .push_i (row_valid_i),
      .pop_i  (take && group_ends),
      .valid_o(row_valid)
  );

  moesaic_fifo #(
      .Width($bits(queued)),
      .Depth(TileQueue)
  ) u_tiles (
      .clk_i,
      .rst_ni,
      .valid_i(tile_valid_i),
      .ready_o(tile_ready),
      .data_i ({
        tile_row_scale_i, tile_table_enable_i, tile_table_index_i, tile_track_max_i, tile_weigh_i,
        tile_score_shift_i, tile_first_i, tile_last_i, tile_output_shift_i, tile_rows_i, tile_entry_i, tile_columns_i, tile_block_i
      }),
      .valid_o(queue_valid),
      .ready_i(tile_load),
      .data_o (queued)
  );

  assign tile_load = queue_valid && (!tile_valid || tile_ends);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) tile_valid <= 1'b0;
    else if (queue_valid) tile_valid <= 1'b1;
    else if (tile_ends) tile_valid <= 1'b0;
    if (tile_load) tile_q <= queued;
    tile_load_q <= rst_ni && tile_load;
    block_q <= queued.block;
  end

  logic weigh_q;  // the rows in the pipeline are weighed
  logic [$clog2(ValueQueue):0] in_flight_q;
  logic [CountBits-1:0] row_in_tile_q, taken_rows, next_row;
  logic [EntryBits-1:0] entry, next_entry;

  assign taken_rows = tile_q.weigh ? CountBits'(1) : CountBits'(ActPorts);
  assign take = row_valid && tile_valid && tile_q.weigh == weigh_q && (!tile_q.weigh || score_valid_i)
      && in_flight_q != ($clog2(ValueQueue) + 1)'(ValueQueue);
  assign tile_ends = take && row_in_tile_q + taken_rows >= tile_q.rows;
  assign group_ends = !tile_q.weigh || tile_ends || (row_in_tile_q & CountBits'(ActPorts - 1)) == CountBits'(ActPorts - 1);
  assign row_taken_o = take && group_ends;
  assign tile_taken_o = tile_ends;
  assign score_ready_o = take && tile_q.weigh;
  assign entry = tile_q.entry + EntryBits'(row_in_tile_q);

  // Scales are asked for in the cycle before their row can be taken, and due in the one after it is.
  assign next_row = take ? row_in_tile_q + taken_rows : row_in_tile_q;
  assign next_entry = tile_load ? queued.entry : tile_q.entry + EntryBits'(next_row);

  if (moesaic_memory_pkg::SCALE_READ_CYCLES != 2) begin : gen_latency
    $fatal(1, "matmul_drain: a scale is read in %0d cycles, it must be 2", moesaic_memory_pkg::SCALE_READ_CYCLES);
  end

  for (genvar p = 0; p < ActPorts; p++) begin : gen_entry
    assign scale_rd_address_o[p] = (next_entry & GroupMask) | EntryBits'(p);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      in_flight_q <= '0;
      row_in_tile_q <= '0;
      weigh_q <= 1'b0;
    end else begin
      in_flight_q <= in_flight_q + ($clog2(ValueQueue) + 1)'(take) - ($clog2(ValueQueue) + 1)'(value_valid_o && value_ready_i);
      if (take) row_in_tile_q <= tile_ends ? '0 : row_in_tile_q + taken_rows;
      if (tile_valid && in_flight_q == '0) weigh_q <= tile_q.weigh;
    end
  end

  // --- requantise, weigh, and look up ---

  logic [WeighedCycle-2:0] valid_q;  // in cycle 1, 2, ...
  logic [7:0] output_shift_q;
  logic second_row, second_row_q;
  logic [15:0] score_late;
  logic [2:0] score_shift_late;
  logic [1:0][15:0] row_multiplier_q;
  logic [1:0][5:0] row_shift_q;
  logic [ActPorts-1:0][5:0] row_shift;
  logic [ActPorts-1:0][TileColumns-1:0][15:0] scaled, value;
  logic [ActPorts-1:0][TileColumns-1:0][7:0] looked_up;

  // A weighed row in the second place of its group.
  assign second_row = weigh_q && ActPorts == 2 && row_in_tile_q[0];

  for (genvar p = 0; p < ActPorts; p++) begin : gen_row_shift
    assign row_shift[p] = (8'(scale_rd_shift_i[p]) > output_shift_q) ? scale_rd_shift_i[p] - output_shift_q[5:0] : '0;
  end

  // Weighing is requantising by the score, in the lanes of the last port.
  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[WeighedCycle-3:0], take} : '0;
    output_shift_q <= tile_q.output_shift;
    second_row_q <= second_row;
    row_multiplier_q <= {weigh_q ? score_late : scale_rd_multiplier_i[ActPorts-1], scale_rd_multiplier_i[second_row_q]};
    row_shift_q <= {weigh_q ? 6'd16 - {3'b0, score_shift_late} : row_shift[ActPorts-1], row_shift[second_row_q]};
  end

  // In row_multiplier_q when the row is in stage 0 for the second time, and in the slices when it is in stage 1.
  moesaic_delay_line #(
      .Width ($bits({score_shift_late, score_late})),
      .Stages(ScaledCycle - 1)
  ) u_score_delay (
      .clk_i,
      .data_i({tile_q.score_shift, score_i}),
      .data_o({score_shift_late, score_late})
  );

  logic [CountBits-1:0] last_row;
  logic [EntryBits-1:0] last_entry;
  logic [ColumnBits-1:0] next_columns;
  logic [TileColumns-1:0] last_count_q;
  logic [ActPorts-1:0] used, last_used;
  logic late_enable, late_index, last_first, last_last, next_enable;

  for (genvar p = 0; p < ActPorts; p++) begin : gen_used
    assign used[p] = tile_q.track_max && row_in_tile_q + CountBits'(p) < tile_q.rows;
  end

  moesaic_delay_line #(
      .Width ($bits({late_enable, late_index})),
      .Stages(ScaledCycle)
  ) u_late (
      .clk_i,
      .data_i({tile_q.table_enable, tile_q.table_index}),
      .data_o({late_enable, late_index})
  );

  // What chooses among the values, and which of them count, is ready in registers when they come.
  moesaic_delay_line #(
      .Width ($bits({next_columns, next_enable})),
      .Stages(ValueCycle - 1)
  ) u_next (
      .clk_i,
      .data_i({tile_q.columns, tile_q.table_enable}),
      .data_o({next_columns, next_enable})
  );

  moesaic_delay_line #(
      .Width ($bits({last_row, last_entry, last_used, last_first, last_last})),
      .Stages(ValueCycle)
  ) u_last (
      .clk_i,
      .data_i({row_in_tile_q, entry, used, tile_q.first, tile_q.last}),
      .data_o({last_row, last_entry, last_used, last_first, last_last})
  );

  always_ff @(posedge clk_i) begin
    for (int c = 0; c < int'(TileColumns); c++) last_count_q[c] <= ColumnBits'(c) < next_columns;
  end

  moesaic_gelu_table #(
      .Lanes(TileColumns * ActPorts)
  ) u_table (
      .clk_i,
      .rst_ni,
      .lookup_i    (valid_q[ScaledCycle-1] && late_enable),
      .index_i     (late_index),
      .value_i     (scaled),
      .result_o    (looked_up),
      .wr_valid_i  (table_wr_valid_i),
      .wr_ready_o  (table_wr_ready_o),
      .wr_address_i(table_wr_address_i),
      .wr_data_i   (table_wr_data_i),
      .wr_fault_o  (table_wr_fault_o)
  );

  assign value_next = weigh_q ? valid_q[WeighedCycle-2] : valid_q[ValueCycle-2];

  always_ff @(posedge clk_i) value_push_q <= rst_ni && value_next;

  moesaic_queue_level #(
      .Depth(ValueQueue)
  ) u_values (
      .clk_i,
      .rst_ni,
      .push_i (value_push_q),
      .pop_i  (value_valid_o && value_ready_i),
      .valid_o(value_valid_o)
  );

  // --- the slices ---

  logic [Slices-1:0][SliceColumns-1:0][BlockEntryWidth-1:0] slice_entries;
  logic [Slices-1:0][ActPorts-1:0][SliceColumns-1:0][31:0] slice_row;
  logic [Slices-1:0][ActPorts-1:0][SliceColumns-1:0][15:0] slice_scaled, slice_value, slice_oldest;
  logic [Slices-1:0][ActPorts-1:0][SliceColumns-1:0][7:0] slice_looked_up;

  for (genvar s = 0; s < Slices; s++) begin : gen_slice
    for (genvar c = 0; c < SliceColumns; c++) begin : gen_column
      assign slice_entries[s][c] = block_wr_data_i[BlockEntryWidth*((SliceColumns*s+c)%WordColumns)+:BlockEntryWidth];

      for (genvar p = 0; p < ActPorts; p++) begin : gen_port
        assign slice_row[s][p][c] = row_i[p][SliceColumns*s+c];
        assign slice_looked_up[s][p][c] = looked_up[p][SliceColumns*s+c];
        assign scaled[p][SliceColumns*s+c] = slice_scaled[s][p][c];
        assign value[p][SliceColumns*s+c] = slice_value[s][p][c];
        assign value_o[p][SliceColumns*s+c] = slice_oldest[s][p][c];
      end
    end

    moesaic_drain_columns #(
        .Columns       (SliceColumns),
        .ActPorts      (ActPorts),
        .RowQueue      (RowQueue),
        .ValueQueue    (ValueQueue),
        .ParameterTiles(ParameterTiles),
        .TableCycles   (TableCycles)
    ) u_columns (
        .clk_i,
        .rst_ni,
        .block_wr_valid_i  (block_wr_valid_i && block_wr_high_i == 1'(SliceColumns * s / WordColumns)),
        .block_wr_address_i,
        .block_wr_data_i   (slice_entries[s]),
        .load_i            (tile_load_q),
        .block_i           (block_q),
        .row_push_i        (row_valid_i),
        .row_i             (slice_row[s]),
        .row_pop_i         (take && group_ends),
        .second_i          (second_row),
        .row_scale_i       (tile_q.row_scale),
        .weigh_i           (weigh_q),
        .row_multiplier_i  (row_multiplier_q),
        .row_shift_i       (row_shift_q),
        .scaled_o          (slice_scaled[s]),
        .looked_up_i       (slice_looked_up[s]),
        .table_enable_i    (next_enable),
        .value_o           (slice_value[s]),
        .value_push_i      (value_next),
        .value_pop_i       (value_valid_o && value_ready_i),
        .oldest_o          (slice_oldest[s])
    );
  end

  // --- row maxima ---

  localparam int unsigned PortRows = TileRows / ActPorts;
  localparam int unsigned PortRowBits = $clog2(PortRows + 1);

  for (genvar p = 0; p < ActPorts; p++) begin : gen_maximum
    moesaic_row_maximum #(
        .TileRows   (PortRows),
        .TileColumns(TileColumns),
        .RowEntries (RowEntries)
    ) u_maximum (
        .clk_i,
        .rst_ni,
        .valid_i         (last_used[p] && valid_q[ValueCycle-1]),
        .row_i           (PortRowBits'(last_row >> PortBits)),
        .entry_i         (last_entry | EntryBits'(p)),
        .first_i         (last_first),
        .last_i          (last_last),
        .count_i         (last_count_q),
        .value_i         (value[p]),
        .max_we_o        (max_we_o[p]),
        .max_wr_address_o(max_wr_address_o[p]),
        .max_wr_data_o   (max_wr_data_o[p])
    );
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      values_in_flight_in_range: assert (in_flight_q <= ($clog2(ValueQueue) + 1)'(ValueQueue));
      tiles_never_refused: assert (tile_ready || !tile_valid_i);
    end
  end
`endif

endmodule
