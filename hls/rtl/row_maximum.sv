// The maximum of each row of a product, over all its column tiles: what softmax subtracts.
//
// One row of TileColumns values enters per cycle; the first `columns_i` of them count. The maximum leaves at max_we_o three
// cycles after the row's last tile entered. TileRows rows take turns.
module row_maximum #(
    parameter int unsigned TileRows = 4,
    parameter int unsigned TileColumns = 8,
    parameter int unsigned RowEntries = 128
) (
    input  logic                            clk_i,
    input  logic                            rst_ni,
    input  logic                            valid_i,
    input  logic [$clog2(TileRows+1)-1:0]   row_i,           // in the tile
    input  logic [$clog2(RowEntries)-1:0]   entry_i,         // of the row statistics
    input  logic                            first_i,         // column tile of the row
    input  logic                            last_i,
    input  logic [$clog2(TileColumns):0]    columns_i,
    input  logic [TileColumns-1:0][15:0]    value_i,
    output logic                            max_we_o,
    output logic [$clog2(RowEntries)-1:0]   max_wr_address_o,
    output logic [15:0]                     max_wr_data_o
);

  localparam int unsigned EntryBits = $clog2(RowEntries);
  localparam int unsigned RowBits = (TileRows > 1) ? $clog2(TileRows) : 1;
  localparam int unsigned CountBits = $clog2(TileRows + 1);
  localparam int unsigned Group = 8;
  localparam int unsigned Groups = TileColumns / Group;

  logic [1:0] valid_q, first_q, last_q;
  logic [1:0][CountBits-1:0] row_q;
  logic [1:0][EntryBits-1:0] entry_q;
  logic [Groups-1:0][15:0] group_maximum, group_maximum_q;
  logic signed [15:0] tile_maximum, tile_maximum_q;
  logic [TileRows-1:0][15:0] running_q;
  logic signed [15:0] running, maximum;

  always_comb begin
    group_maximum = {Groups{16'h8000}};
    for (int c = 0; c < TileColumns; c++) begin
      if (c < 32'(columns_i) && $signed(value_i[c]) > $signed(group_maximum[c/Group])) begin
        group_maximum[c/Group] = value_i[c];
      end
    end
  end

  always_comb begin
    tile_maximum = group_maximum_q[0];
    for (int g = 1; g < Groups; g++) begin
      if ($signed(group_maximum_q[g]) > tile_maximum) tile_maximum = group_maximum_q[g];
    end
  end

  assign running = running_q[RowBits'(row_q[1])];
  assign maximum = (first_q[1] || tile_maximum_q > running) ? tile_maximum_q : running;

  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[0], valid_i} : '0;
    first_q <= {first_q[0], first_i};
    last_q <= {last_q[0], last_i};
    row_q <= {row_q[0], row_i};
    entry_q <= {entry_q[0], entry_i};
    if (valid_i) group_maximum_q <= group_maximum;
    if (valid_q[0]) tile_maximum_q <= tile_maximum;
    if (valid_q[1]) running_q[RowBits'(row_q[1])] <= maximum;
    max_we_o <= rst_ni && valid_q[1] && last_q[1];
    max_wr_address_o <= entry_q[1];
    max_wr_data_o <= maximum;
  end

endmodule
