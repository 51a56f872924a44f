// The maximum of each row of a product, over all its column tiles: what softmax subtracts.
//
// ActPorts rows of TileColumns values enter per cycle, of which those with valid_i, and of those the first `columns_i`
// values, count. A maximum leaves at max_we_o three cycles after the row's last tile entered.
module row_maximum #(
    parameter int unsigned TileRows = 4,
    parameter int unsigned TileColumns = 8,
    parameter int unsigned ActPorts = 2,
    parameter int unsigned RowEntries = 128
) (
    input  logic                                            clk_i,
    input  logic                                            rst_ni,
    input  logic [ActPorts-1:0]                             valid_i,
    input  logic [$clog2(TileRows+1)-1:0]                   group_i,         // rows group_i * ActPorts on of the tile
    input  logic [ActPorts-1:0][$clog2(RowEntries)-1:0]     entry_i,         // of the row statistics
    input  logic                                            first_i,         // column tile of the row
    input  logic                                            last_i,
    input  logic [$clog2(TileColumns):0]                    columns_i,
    input  logic [ActPorts-1:0][TileColumns-1:0][15:0]      value_i,
    output logic [ActPorts-1:0]                             max_we_o,
    output logic [ActPorts-1:0][$clog2(RowEntries)-1:0]     max_wr_address_o,
    output logic [ActPorts-1:0][15:0]                       max_wr_data_o
);

  localparam int unsigned EntryBits = $clog2(RowEntries);
  localparam int unsigned CountBits = $clog2(TileRows + 1);
  localparam int unsigned RowGroups = TileRows / ActPorts;
  localparam int unsigned RowGroupBits = (RowGroups > 1) ? $clog2(RowGroups) : 1;
  localparam int unsigned Part = 8;
  localparam int unsigned Parts = TileColumns / Part;

  logic [1:0] first_q, last_q;
  logic [1:0][CountBits-1:0] group_q;
  logic [RowGroupBits-1:0] row_group;

  assign row_group = RowGroupBits'(group_q[1]);

  always_ff @(posedge clk_i) begin
    first_q <= {first_q[0], first_i};
    last_q <= {last_q[0], last_i};
    group_q <= {group_q[0], group_i};
  end

  for (genvar p = 0; p < ActPorts; p++) begin : gen_port
    logic [1:0] valid_q;
    logic [1:0][EntryBits-1:0] entry_q;
    logic [Parts-1:0][15:0] part_maximum, part_maximum_q;
    logic signed [15:0] tile_maximum, tile_maximum_q;
    logic [RowGroups-1:0][15:0] running_q;
    logic signed [15:0] running, maximum;

    always_comb begin
      part_maximum = {Parts{16'h8000}};
      for (int c = 0; c < TileColumns; c++) begin
        if (c < 32'(columns_i) && $signed(value_i[p][c]) > $signed(part_maximum[c/Part])) part_maximum[c/Part] = value_i[p][c];
      end
    end

    always_comb begin
      tile_maximum = part_maximum_q[0];
      for (int g = 1; g < Parts; g++) begin
        if ($signed(part_maximum_q[g]) > tile_maximum) tile_maximum = part_maximum_q[g];
      end
    end

    assign running = running_q[row_group];
    assign maximum = (first_q[1] || tile_maximum_q > running) ? tile_maximum_q : running;

    always_ff @(posedge clk_i) begin
      valid_q <= rst_ni ? {valid_q[0], valid_i[p]} : '0;
      entry_q <= {entry_q[0], entry_i[p]};
      if (valid_i[p]) part_maximum_q <= part_maximum;
      if (valid_q[0]) tile_maximum_q <= tile_maximum;
      if (valid_q[1]) running_q[row_group] <= maximum;
      max_we_o[p] <= rst_ni && valid_q[1] && last_q[1];
      max_wr_address_o[p] <= entry_q[1];
      max_wr_data_o[p] <= maximum;
    end
  end

endmodule
