// A pair of columns of the array: TileRows cells, and the multiplexer by which what they hold leaves, ActPorts rows at a time.
//
// valid_i, first_i and capture_i come one cycle before those of the cells: a register of the pair's own takes them and has
// TileRows loads. row_o shows group group_i two cycles later; each port has a select of its own, with at most
// 64 * ceil(Groups / 4) loads.
module moesaic_array_columns #(
    parameter int unsigned TileRows = 4,
    parameter int unsigned TileDepth = 4,
    parameter int unsigned ActPorts = 2
) (
    input  logic                                    clk_i,
    input  logic [TileRows-1:0][TileDepth-1:0][7:0] a_i,
    input  logic [TileDepth-1:0][26:0]              weights_i,
    input  logic                                    valid_i,
    input  logic                                    first_i,
    input  logic                                    capture_i,
    /* verilator lint_off UNUSEDSIGNAL */
    input  logic [$clog2(TileRows+1)-1:0]           group_i,
    /* verilator lint_on UNUSEDSIGNAL */
    output logic [ActPorts-1:0][63:0]               row_o
);

  localparam int unsigned Groups = TileRows / ActPorts;
  localparam int unsigned GroupBits = (Groups > 1) ? $clog2(Groups) : 1;

  logic valid, first, capture;
  logic [ActPorts-1:0][Groups-1:0][63:0] held;

  moesaic_replica #(
      .Width(3)
  ) u_control (
      .clk_i,
      .data_i({valid_i, first_i, capture_i}),
      .data_o({valid, first, capture})
  );

  for (genvar r = 0; r < TileRows; r++) begin : gen_row
    moesaic_array_cell #(
        .TileDepth(TileDepth)
    ) u_cell (
        .clk_i,
        .a_i      (a_i[r]),
        .weights_i,
        .valid_i  (valid),
        .first_i  (first),
        .capture_i(capture),
        .held_o   (held[r%ActPorts][r/ActPorts])
    );
  end

  for (genvar p = 0; p < ActPorts; p++) begin : gen_port
    logic [GroupBits-1:0] group;

    moesaic_replica #(
        .Width(GroupBits)
    ) u_group (
        .clk_i,
        .data_i(GroupBits'(group_i)),
        .data_o(group)
    );

    always_ff @(posedge clk_i) row_o[p] <= held[p][group];
  end

endmodule
