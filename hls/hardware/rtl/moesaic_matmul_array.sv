// The array: TileRows x TileColumns accumulators, TileDepth products each per cycle, two columns on one DSP cascade.
//
// A step (valid_i) multiplies a_i, TileDepth bytes of every row, with b_i, one weight word (TileDepth bytes of every
// column). first_i starts a tile and last_i ends it; after the last step the tile's first `groups_i` * ActPorts rows come out
// at row_o, ActPorts per cycle, each in the cycle after a row_valid_o, while the next tile's steps go in. There is no
// back-pressure: the caller keeps the last steps of two tiles at least `groups_i` of the earlier tile apart, and has room for
// the rows.
//
// Operands and sums always move, so nothing enables the DSPs, their operand registers or the rows on their way out; what is no
// step is not added up. What adds and holds goes through a tree of registers: one here for TileColumns / 2 pairs of columns, one
// in each pair for its TileRows cells, one in each cell for 64 flip-flops. The group that leaves: one here, ActPorts in each
// pair. An operand has TileColumns / 2 loads (its sign 11 times as many), a weight TileRows.
module moesaic_matmul_array #(
    parameter int unsigned TileRows = 4,
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth = 4,
    parameter int unsigned ActPorts = 2
) (
    input  logic                                          clk_i,
    input  logic                                          rst_ni,
    input  logic                                          valid_i,
    input  logic                                          first_i,
    input  logic                                          last_i,
    input  logic [$clog2(TileRows+1)-1:0]                 groups_i,
    input  logic [TileRows-1:0][TileDepth-1:0][7:0]       a_i,
    input  logic [TileColumns-1:0][TileDepth-1:0][7:0]    b_i,
    output logic                                          row_valid_o,
    output logic [ActPorts-1:0][TileColumns-1:0][31:0]    row_o
);

  localparam int unsigned CountBits = $clog2(TileRows + 1);
  localparam int unsigned Pairs = TileColumns / 2;
  // From a step at the inputs to its sum at the accumulators: two operand registers and the cascade.
  localparam int unsigned Latency = TileDepth + 4;

  // Operands k are delayed by k cycles more than operands 0, as the cascade needs them.
  logic [TileRows-1:0][TileDepth-1:0][7:0] a_skewed;
  logic [Pairs-1:0][TileDepth-1:0][26:0] weights_skewed;

  for (genvar k = 0; k < TileDepth; k++) begin : gen_skew
    logic [8*TileRows-1:0] a_new, a_old, a_q;
    logic [8*TileColumns-1:0] b_new, b_old;

    for (genvar r = 0; r < TileRows; r++) begin : gen_row
      assign a_new[8*r+:8] = a_i[r][k];
      assign a_skewed[r][k] = a_q[8*r+:8];
    end
    for (genvar c = 0; c < TileColumns; c++) begin : gen_column
      assign b_new[8*c+:8] = b_i[c][k];
    end

    moesaic_delay_line #(
        .Width (8 * TileRows),
        .Stages(k + 1)
    ) u_a_delay (
        .clk_i,
        .data_i(a_new),
        .data_o(a_old)
    );
    moesaic_delay_line #(
        .Width (8 * TileColumns),
        .Stages(k + 1)
    ) u_b_delay (
        .clk_i,
        .data_i(b_new),
        .data_o(b_old)
    );

    always_ff @(posedge clk_i) begin
      a_q <= a_old;
    end

    for (genvar p = 0; p < Pairs; p++) begin : gen_pair
      logic [7:0] w0, w1;
      logic [26:0] weights_q;

      assign w0 = b_old[16*p+:8];
      assign w1 = b_old[16*p+8+:8];
      assign weights_skewed[p][k] = weights_q;

      // w1 * 2**18 + w0: the sign of w0 borrows from w1.
      always_ff @(posedge clk_i) begin
        weights_q <= {{w1[7], w1} - 9'(w0[7]), {10{w0[7]}}, w0};
      end
    end
  end

  // A register in each pair and one in each cell are the last two stages of what belongs to the sums.
  logic [Latency-3:0] valid_q, first_q;
  logic [Latency-1:0] last_q;
  logic [Latency-1:0][CountBits-1:0] groups_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= '0;
      last_q <= '0;
    end else begin
      valid_q <= {valid_q[Latency-4:0], valid_i};
      last_q <= {last_q[Latency-2:0], valid_i & last_i};
    end
    first_q <= {first_q[Latency-4:0], first_i};
    groups_q <= {groups_q[Latency-2:0], groups_i};
  end

  logic [CountBits-1:0] remaining_q;
  logic [CountBits-1:0] group_q;

  // Counted a cycle ahead of the pairs' selects.
  always_ff @(posedge clk_i) begin
    row_valid_o <= remaining_q != 0;
    if (remaining_q != 0) begin
      remaining_q <= remaining_q - 1'b1;
      group_q <= group_q + 1'b1;
    end
    if (last_q[Latency-1]) begin
      remaining_q <= groups_q[Latency-1];
      group_q <= '0;
    end
    if (!rst_ni) begin
      remaining_q <= '0;
      row_valid_o <= 1'b0;
    end
  end

  for (genvar p = 0; p < Pairs; p++) begin : gen_columns
    logic [64*ActPorts-1:0] row;

    moesaic_array_columns #(
        .TileRows (TileRows),
        .TileDepth(TileDepth),
        .ActPorts (ActPorts)
    ) u_columns (
        .clk_i,
        .a_i      (a_skewed),
        .weights_i(weights_skewed[p]),
        .valid_i  (valid_q[Latency-3]),
        .first_i  (first_q[Latency-3]),
        .capture_i(last_q[Latency-2]),
        .group_i  (group_q),
        .row_o    (row)
    );

    for (genvar r = 0; r < ActPorts; r++) begin : gen_port
      assign row_o[r][2*p+:2] = row[64*r+:64];
    end
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      tile_is_out_before_the_next: assert (remaining_q <= CountBits'(1) || !last_q[Latency-1]);
    end
  end
`endif

endmodule
