// Whether a queue of Depth entries has any, for queues made of moesaic_queue_memory. There is no ready: whoever pushes knows that
// there is room. valid_o is a register.
module moesaic_queue_level #(
    parameter int unsigned Depth = 16
) (
    input  logic clk_i,
    input  logic rst_ni,
    input  logic push_i,
    input  logic pop_i,
    output logic valid_o
);

  localparam int unsigned LevelBits = $clog2(Depth) + 1;

  logic [LevelBits-1:0] level_q, level;

  assign level = level_q + LevelBits'(push_i) - LevelBits'(pop_i);

  always_ff @(posedge clk_i) begin
    level_q <= level;
    valid_o <= level != '0;
    if (!rst_ni) begin
      level_q <= '0;
      valid_o <= 1'b0;
    end
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      entries_never_refused: assert (level_q != LevelBits'(Depth) || !push_i || pop_i);
      pops_only_what_is_there: assert (valid_o || !pop_i);
    end
  end
`endif

endmodule
