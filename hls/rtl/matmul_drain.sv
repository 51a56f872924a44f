// From sums to values: rows of the array wait in a queue, one per cycle is requantised, looked up in a table, and its
// maximum recorded; the values, saturated to 16 bits, come out in order at value_o.
//
// The pipeline never stalls: a row enters when the queue of values has room for it. Its caller has room for RowQueue rows
// and TileQueue tiles (row_taken_o and tile_taken_o give it back). A tile's record must arrive before its first row.
module matmul_drain #(
    parameter int unsigned TileRows = 4,
    parameter int unsigned TileColumns = 8,
    parameter int unsigned RowEntries = 128,
    parameter int unsigned RowQueue = 16,
    parameter int unsigned TileQueue = 4
) (
    input  logic                                    clk_i,
    input  logic                                    rst_ni,
    // the instruction, stable while it executes
    input  logic                                    row_scale_i,
    input  logic                                    table_enable_i,
    input  logic                                    table_index_i,
    input  logic                                    track_max_i,
    input  logic [7:0]                              output_shift_i,
    input  logic [$clog2(RowEntries)-1:0]           row_base_i,
    input  logic [$clog2(TileColumns):0]            tail_columns_i,
    // tiles
    input  logic                                    tile_valid_i,
    input  logic [$clog2(TileRows+1)-1:0]           tile_rows_i,
    input  logic [$clog2(RowEntries)-1:0]           tile_row_i,       // row 0 of the tile
    input  logic                                    tile_first_i,     // column tile
    input  logic                                    tile_last_i,
    input  logic [TileColumns-1:0][31:0]            tile_bias_i,
    input  logic [TileColumns-1:0][15:0]            tile_multiplier_i,
    input  logic [TileColumns-1:0][5:0]             tile_shift_i,
    output logic                                    tile_taken_o,
    // rows
    input  logic                                    row_valid_i,
    input  logic [TileColumns-1:0][31:0]            row_i,
    output logic                                    row_taken_o,
    // row statistics
    output logic                                    max_we_o,
    output logic [$clog2(RowEntries)-1:0]           max_wr_address_o,
    output logic [15:0]                             max_wr_data_o,
    output logic [$clog2(RowEntries)-1:0]           scale_rd_address_o,
    input  logic [15:0]                             scale_rd_multiplier_i,
    input  logic [5:0]                              scale_rd_shift_i,
    // table writes
    input  logic                                    table_wr_valid_i,
    output logic                                    table_wr_ready_o,
    input  logic [31:0]                             table_wr_address_i,
    input  logic [127:0]                            table_wr_data_i,
    output logic                                    table_wr_fault_o,
    // values
    output logic                                    value_valid_o,
    input  logic                                    value_ready_i,
    output logic [TileColumns-1:0][15:0]            value_o
);

  localparam int unsigned EntryBits = $clog2(RowEntries);
  localparam int unsigned CountBits = $clog2(TileRows + 1);
  localparam int unsigned ValueQueue = 16;
  localparam int unsigned RequantiseCycles = 6;
  localparam int unsigned TableCycles = 3;
  localparam int unsigned Cycles = RequantiseCycles + TableCycles;

  // --- queues ---

  logic row_valid, tile_valid, take, tile_ends;
  logic row_ready, tile_ready, value_ready;
  logic [TileColumns-1:0][31:0] row;
  logic [CountBits-1:0] tile_rows;
  logic [EntryBits-1:0] tile_row;
  logic tile_first, tile_last;
  logic [TileColumns-1:0][31:0] bias;
  logic [TileColumns-1:0][15:0] multiplier;
  logic [TileColumns-1:0][5:0] shift;

  fifo #(
      .Width(32 * TileColumns),
      .Depth(RowQueue)
  ) u_rows (
      .clk_i,
      .rst_ni,
      .valid_i(row_valid_i),
      .ready_o(row_ready),
      .data_i (row_i),
      .valid_o(row_valid),
      .ready_i(take),
      .data_o (row)
  );

  fifo #(
      .Width(54 * TileColumns + CountBits + EntryBits + 2),
      .Depth(TileQueue)
  ) u_tiles (
      .clk_i,
      .rst_ni,
      .valid_i(tile_valid_i),
      .ready_o(tile_ready),
      .data_i ({tile_bias_i, tile_multiplier_i, tile_shift_i, tile_rows_i, tile_row_i, tile_first_i, tile_last_i}),
      .valid_o(tile_valid),
      .ready_i(tile_ends),
      .data_o ({bias, multiplier, shift, tile_rows, tile_row, tile_first, tile_last})
  );

  logic [$clog2(ValueQueue):0] in_flight_q;
  logic [CountBits-1:0] row_in_tile_q;

  assign take = row_valid && tile_valid && in_flight_q != ($clog2(ValueQueue) + 1)'(ValueQueue);
  assign tile_ends = take && row_in_tile_q == tile_rows - 1'b1;
  assign row_taken_o = take;
  assign tile_taken_o = tile_ends;
  assign scale_rd_address_o = row_base_i + tile_row + EntryBits'(row_in_tile_q);

  logic [Cycles-1:0] valid_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      in_flight_q <= '0;
      row_in_tile_q <= '0;
    end else begin
      in_flight_q <= in_flight_q + ($clog2(ValueQueue) + 1)'(take) - ($clog2(ValueQueue) + 1)'(value_valid_o && value_ready_i);
      if (take) row_in_tile_q <= tile_ends ? '0 : row_in_tile_q + 1'b1;
    end
    assert (!rst_ni || ((row_ready || !row_valid_i) && (tile_ready || !tile_valid_i) && (value_ready || !valid_q[Cycles-1])));
  end

  // --- requantise and look up ---

  logic [5:0] row_shift;
  logic [TileColumns-1:0][15:0] scaled, scaled_late, value;
  logic [TileColumns-1:0][7:0] looked_up;

  assign row_shift = (8'(scale_rd_shift_i) > output_shift_i) ? scale_rd_shift_i - output_shift_i[5:0] : '0;

  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[Cycles-2:0], take} : '0;
  end

  for (genvar c = 0; c < TileColumns; c++) begin : gen_lane
    requantise u_requantise (
        .clk_i,
        .enable_i        ({valid_q[RequantiseCycles-2:0], take}),
        .row_scale_i,
        .sum_i           (row[c]),
        .bias_i          (bias[c]),
        .multiplier_i    (multiplier[c]),
        .shift_i         (shift[c]),
        .row_multiplier_i(scale_rd_multiplier_i),
        .row_shift_i     (row_shift),
        .result_o        (scaled[c])
    );

    assign value[c] = table_enable_i ? {{8{looked_up[c][7]}}, looked_up[c]} : scaled_late[c];
  end

  gelu_table #(
      .TileColumns(TileColumns)
  ) u_table (
      .clk_i,
      .rst_ni,
      .lookup_i    (valid_q[RequantiseCycles-1] && table_enable_i),
      .index_i     (table_index_i),
      .value_i     (scaled),
      .result_o    (looked_up),
      .wr_valid_i  (table_wr_valid_i),
      .wr_ready_o  (table_wr_ready_o),
      .wr_address_i(table_wr_address_i),
      .wr_data_i   (table_wr_data_i),
      .wr_fault_o  (table_wr_fault_o)
  );

  delay_line #(
      .Width (16 * TileColumns),
      .Stages(TableCycles)
  ) u_scaled_delay (
      .clk_i,
      .enable_i(1'b1),
      .data_i  (scaled),
      .data_o  (scaled_late)
  );

  fifo #(
      .Width(16 * TileColumns),
      .Depth(ValueQueue)
  ) u_values (
      .clk_i,
      .rst_ni,
      .valid_i(valid_q[Cycles-1]),
      .ready_o(value_ready),
      .data_i (value),
      .valid_o(value_valid_o),
      .ready_i(value_ready_i),
      .data_o (value_o)
  );

  // --- row maxima ---

  logic [CountBits-1:0] max_row;
  logic [EntryBits-1:0] max_entry;
  logic max_first, max_last;

  delay_line #(
      .Width (CountBits + EntryBits + 2),
      .Stages(Cycles)
  ) u_row_delay (
      .clk_i,
      .enable_i(1'b1),
      .data_i  ({row_in_tile_q, scale_rd_address_o, tile_first, tile_last}),
      .data_o  ({max_row, max_entry, max_first, max_last})
  );

  row_maximum #(
      .TileRows   (TileRows),
      .TileColumns(TileColumns),
      .RowEntries (RowEntries)
  ) u_maximum (
      .clk_i,
      .rst_ni,
      .valid_i       (valid_q[Cycles-1] && track_max_i),
      .row_i         (max_row),
      .entry_i       (max_entry),
      .first_i       (max_first),
      .last_i        (max_last),
      .tail_columns_i,
      .value_i       (value),
      .max_we_o,
      .max_wr_address_o,
      .max_wr_data_o
  );

endmodule
