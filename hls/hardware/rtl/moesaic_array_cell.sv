// One row and one pair of columns of the array: a packed dot product, two accumulators, and the result held for draining.
//
// valid_i and first_i come one cycle before the sum that they belong to shows at the dot product; first_i starts a new
// accumulation. capture_i copies the accumulators to held_o, {column 1, column 0}, a cycle later. A register of the cell's own
// takes each of these three, and has 64 loads.
module moesaic_array_cell #(
    parameter int unsigned TileDepth = 4
) (
    input  logic                       clk_i,
    input  logic [TileDepth-1:0][7:0]  a_i,
    input  logic [TileDepth-1:0][26:0] weights_i,
    input  logic                       valid_i,
    input  logic                       first_i,
    input  logic                       capture_i,
    output logic [63:0]                held_o
);
  // Compiled once and called for every cell: the simulator's build time depends on it.
  /* verilator no_inline_module */

  logic [36:0] sum;
  logic [17:0] low;
  logic [18:0] high;
  logic [31:0] accumulator_0_q;
  logic [31:0] accumulator_1_q;
  logic valid, first, capture;

  moesaic_packed_dot #(
      .TileDepth(TileDepth)
  ) u_dot (
      .clk_i,
      .a_i,
      .weights_i,
      .sum_o(sum)
  );

  moesaic_replica #(
      .Width(3)
  ) u_control (
      .clk_i,
      .data_i({valid_i, first_i, capture_i}),
      .data_o({valid, first, capture})
  );

  assign low  = sum[17:0];
  assign high = sum[36:18];

  always_ff @(posedge clk_i) begin
    if (valid) begin
      accumulator_0_q <= {{14{low[17]}}, low} + (first ? '0 : accumulator_0_q) + 32'd1;
      accumulator_1_q <= {{13{high[18]}}, high} + (first ? '0 : accumulator_1_q) + 32'(low[17]);
    end
    if (capture) held_o <= {accumulator_1_q, accumulator_0_q};
  end

endmodule
