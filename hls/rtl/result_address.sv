// Where the rows of a product go, in the order in which they drain, and what residual rows hold before.
//
// Per row of every tile: address_o (a word of act, or of weight for keys and values; for keys the word of the tile's first
// TileDepth columns), half_o (the half of the act word, int8), lane_o (the row's place in weight words), score_o, tail_o
// (the tile is the last of its row) and final_o (the product's last row). For residual destinations the word is read from
// act first and comes at old_o; the reads run up to eight rows ahead, so no two rows of one product may share a word.
// Addresses are computed in 48 bits and clipped to 32, so that a wild one faults in the memory instead of wrapping.
module result_address #(
    parameter int unsigned TileRows = 4,
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth = 4
) (
    input  logic                              clk_i,
    input  logic                              rst_ni,
    input  logic                              start_i,
    // the instruction, stable while it executes
    input  logic [2:0]                        destination_i,
    input  logic                              scatter_i,
    input  logic [16:0]                       rows_i,
    input  logic [15:0]                       column_tiles_i,
    input  logic [31:0]                       address_i,       // bytes
    input  logic [31:0]                       pitch_i,         // bytes
    // tokens of the expert queue, one cycle after their index, when it is free
    input  logic                              queue_ready_i,
    output logic [15:0]                       queue_index_o,
    input  logic [15:0]                       queue_token_i,
    input  logic [15:0]                       queue_score_i,
    // activation memory
    output logic                              rd_valid_o,
    input  logic                              rd_ready_i,
    output logic [31:0]                       rd_address_o,
    input  logic                              rd_data_valid_i,
    input  logic [16*TileColumns-1:0]         rd_data_i,
    // rows
    output logic                              valid_o,
    input  logic                              ready_i,
    output logic [31:0]                       address_o,
    output logic                              half_o,
    output logic [$clog2(TileColumns)-1:0]    lane_o,
    output logic [15:0]                       score_o,
    output logic                              tail_o,
    output logic                              final_o,
    output logic [16*TileColumns-1:0]         old_o
);

  localparam int unsigned ColumnShift = $clog2(TileColumns);
  localparam int unsigned DepthShift = $clog2(TileDepth);
  localparam int unsigned WordShift = ColumnShift + DepthShift;
  localparam int unsigned CountBits = $clog2(TileRows + 1);
  localparam int unsigned Ahead = 8;
  localparam int unsigned AheadBits = $clog2(Ahead);
  localparam int unsigned RecordBits = 32 + 1 + ColumnShift + 16 + 2;

  logic to_keys, to_values, to_weight, residual;

  assign to_keys = destination_i == 3'(isa_pkg::DESTINATION_KEYS);
  assign to_values = destination_i == 3'(isa_pkg::DESTINATION_VALUES);
  assign to_weight = to_keys || to_values;
  assign residual = destination_i == 3'(isa_pkg::DESTINATION_RESIDUAL);

  // --- the loops: row tiles, column tiles, rows of the tile ---

  logic active_q;
  logic [16:0] tile_row_q, left_q;  // first row of the row tile; rows from there to the end
  logic [15:0] column_tile_q;
  logic [CountBits-1:0] row_in_tile_q;
  logic [AheadBits:0] in_flight_q;
  logic step, ends_tile, ends_row_tile, last_row_tile;
  logic [15:0] row;
  logic [ColumnShift-1:0] lane;

  assign row = tile_row_q[15:0] + 16'(row_in_tile_q);
  assign lane = to_values ? ColumnShift'(row[DepthShift-1:0]) : row[ColumnShift-1:0];
  assign queue_index_o = row;
  assign step = active_q && in_flight_q != (AheadBits + 1)'(Ahead) && (!scatter_i || queue_ready_i);
  assign last_row_tile = left_q <= 17'(TileRows);
  assign ends_tile = row_in_tile_q == CountBits'(TileRows - 1) || 17'(row_in_tile_q) == left_q - 17'd1;
  assign ends_row_tile = ends_tile && column_tile_q == column_tiles_i - 16'd1;

  always_ff @(posedge clk_i) begin
    if (step) begin
      row_in_tile_q <= ends_tile ? '0 : row_in_tile_q + 1'b1;
      if (ends_tile) column_tile_q <= ends_row_tile ? '0 : column_tile_q + 1'b1;
      if (ends_row_tile) begin
        tile_row_q <= tile_row_q + 17'(TileRows);
        left_q <= left_q - 17'(TileRows);
        if (last_row_tile) active_q <= 1'b0;
      end
    end
    if (start_i) begin
      active_q <= 1'b1;
      left_q <= rows_i;
      tile_row_q <= '0;
      column_tile_q <= '0;
      row_in_tile_q <= '0;
    end
    if (!rst_ni) active_q <= 1'b0;
  end

  // --- address = base + index * pitch + column part, in halves of act words or in weight words ---

  logic [47:0] base, product_q, sum;
  logic [31:0] pitch;
  logic [1:0] valid_q;
  logic [1:0][ColumnShift-1:0] lane_q;
  logic [1:0] tail_q, final_q;
  logic [15:0] row_q, column_tile_late_q, index, score_q;
  logic [47:0] column_part_q;
  logic [RecordBits-1:0] record;

  assign base = to_weight ? 48'(address_i) >> WordShift : 48'(address_i) >> ColumnShift;
  assign pitch = to_weight ? pitch_i >> WordShift : pitch_i >> ColumnShift;

  always_comb begin
    if (to_keys) index = row_q >> ColumnShift;
    else if (to_values) index = column_tile_late_q;
    else index = scatter_i ? queue_token_i : row_q;
  end

  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[0], step} : '0;
    lane_q <= {lane_q[0], lane};
    tail_q <= {tail_q[0], column_tile_q == column_tiles_i - 16'd1};
    final_q <= {final_q[0], ends_row_tile && last_row_tile};
    row_q <= row;
    column_tile_late_q <= column_tile_q;
    product_q <= 48'(index) * 48'(pitch);
    score_q <= queue_score_i;
    case (destination_i)
      3'(isa_pkg::DESTINATION_KEYS): column_part_q <= 48'(column_tile_late_q) << (ColumnShift - DepthShift);
      3'(isa_pkg::DESTINATION_VALUES): column_part_q <= 48'(row_q >> DepthShift);
      3'(isa_pkg::DESTINATION_INT8): column_part_q <= 48'(column_tile_late_q);
      default: column_part_q <= 48'(column_tile_late_q) << 1;
    endcase
  end

  always_comb begin
    logic [47:0] word;
    sum = base + product_q + column_part_q;
    word = to_weight ? sum : sum >> 1;
    record = {
      (word[47:32] != '0) ? 32'hffff_ffff : word[31:0], !to_weight && sum[0], lane_q[1], score_q, tail_q[1], final_q[1]
    };
  end

  // --- the old words: a row leaves the first queue when its read is granted; its answer meets it in the second ---

  logic pending_valid, pending_ready, move, located_ready, old_valid, old_ready;
  logic record_ready, old_taken;
  logic [RecordBits-1:0] pending, located;

  fifo #(
      .Width(RecordBits),
      .Depth(Ahead)
  ) u_pending (
      .clk_i,
      .rst_ni,
      .valid_i(valid_q[1]),
      .ready_o(record_ready),
      .data_i (record),
      .valid_o(pending_valid),
      .ready_i(move),
      .data_o (pending)
  );

  assign rd_valid_o = pending_valid && residual;
  assign rd_address_o = pending[RecordBits-1-:32];
  assign pending_ready = !residual || rd_ready_i;
  assign move = pending_valid && pending_ready;

  logic located_valid;

  fifo #(
      .Width(RecordBits),
      .Depth(Ahead)
  ) u_located (
      .clk_i,
      .rst_ni,
      .valid_i(move),
      .ready_o(located_ready),
      .data_i (pending),
      .valid_o(located_valid),
      .ready_i(valid_o && ready_i),
      .data_o (located)
  );

  fifo #(
      .Width(16 * TileColumns),
      .Depth(Ahead)
  ) u_old (
      .clk_i,
      .rst_ni,
      .valid_i(rd_data_valid_i),
      .ready_o(old_ready),
      .data_i (rd_data_i),
      .valid_o(old_valid),
      .ready_i(old_taken),
      .data_o (old_o)
  );

  assign valid_o = located_valid && (!residual || old_valid);
  assign old_taken = valid_o && ready_i && residual;
  assign {address_o, half_o, lane_o, score_o, tail_o, final_o} = located;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) in_flight_q <= '0;
    else in_flight_q <= in_flight_q + (AheadBits + 1)'(step) - (AheadBits + 1)'(valid_o && ready_i);
    assert (!rst_ni || ((record_ready || !valid_q[1]) && (located_ready || !move) && (old_ready || !rd_data_valid_i)));
  end

endmodule
