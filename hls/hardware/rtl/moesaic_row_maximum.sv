// The maximum of each row of a product, over all its column tiles: what softmax subtracts.
//
// One row of TileColumns values enters per cycle; those marked in `count_i` count. The maximum leaves at max_we_o three
// cycles after the row's last tile entered. TileRows rows take turns.
module moesaic_row_maximum #(
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
    input  logic [TileColumns-1:0]          count_i,
    input  logic [TileColumns-1:0][15:0]    value_i,
    output logic                            max_we_o,
    output logic [$clog2(RowEntries)-1:0]   max_wr_address_o,
    output logic [15:0]                     max_wr_data_o
);

  localparam int unsigned EntryBits = $clog2(RowEntries);
  localparam int unsigned RowBits = (TileRows > 1) ? $clog2(TileRows) : 1;
  localparam int unsigned CountBits = $clog2(TileRows + 1);
  // Values of a group are compared in the first cycle, the groups in the second, each as a tree: node n is the larger of nodes
  // 2n and 2n + 1, node 1 the largest of all.
  localparam int unsigned Group = 4;
  localparam int unsigned Groups = TileColumns / Group;

  logic [1:0] valid_q, first_q, last_q;
  logic [1:0][CountBits-1:0] row_q;
  logic [1:0][EntryBits-1:0] entry_q;
  logic [Groups-1:0][2*Group-1:0][15:0] value_node;
  logic [2*Groups-1:0][15:0] group_node;
  logic [Groups-1:0][15:0] group_maximum_q;
  logic signed [15:0] tile_maximum_q;
  logic [TileRows-1:0][15:0] running_q;
  logic signed [15:0] running, maximum;

  always_comb begin
    value_node = '0;
    for (int c = 0; c < TileColumns; c++) value_node[c/Group][Group+c%Group] = count_i[c] ? value_i[c] : 16'h8000;
    for (int g = 0; g < Groups; g++) begin
      for (int n = Group - 1; n > 0; n--) begin
        value_node[g][n] = ($signed(value_node[g][2*n]) > $signed(value_node[g][2*n+1])) ? value_node[g][2*n] : value_node[g][2*n+1];
      end
    end
  end

  always_comb begin
    group_node = '0;
    for (int g = 0; g < Groups; g++) group_node[Groups+g] = group_maximum_q[g];
    for (int n = Groups - 1; n > 0; n--) begin
      group_node[n] = ($signed(group_node[2*n]) > $signed(group_node[2*n+1])) ? group_node[2*n] : group_node[2*n+1];
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
    if (valid_i) begin
      for (int g = 0; g < Groups; g++) group_maximum_q[g] <= value_node[g][1];
    end
    if (valid_q[0]) tile_maximum_q <= group_node[1];
    if (valid_q[1]) running_q[RowBits'(row_q[1])] <= maximum;
    max_we_o <= rst_ni && valid_q[1] && last_q[1];
    max_wr_address_o <= entry_q[1];
    max_wr_data_o <= maximum;
  end

endmodule
