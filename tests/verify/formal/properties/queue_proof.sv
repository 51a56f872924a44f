// moesaic_queue_level beside moesaic_queue_memory: together a queue, if whoever pushes knows that there is room.
module queue_proof #(
    parameter int unsigned Width = 8,
    parameter int unsigned Depth = 16,
    localparam int unsigned AddressBits = $clog2(Depth)
) (
    input logic             clk_i,
    input logic             rst_ni,
    input logic             push_i,
    input logic [Width-1:0] data_i,
    input logic             pop_i,
    input logic             choose_i
);

  logic valid, chosen;
  logic [Width-1:0] data, value;
  logic [AddressBits:0] count, ahead;
  logic [AddressBits-1:0] place;

  reset_assumed u_reset (.clk_i, .rst_ni);

  always_comb begin
    pushes_with_room: assume (!push_i || count != (AddressBits + 1)'(Depth));
    pops_what_is_there: assume (!pop_i || count != '0);
  end

  moesaic_queue_level #(
      .Depth(Depth)
  ) u_level (
      .clk_i,
      .rst_ni,
      .push_i,
      .pop_i,
      .valid_o(valid)
  );

  moesaic_queue_memory #(
      .Width(Width),
      .Depth(Depth)
  ) u_memory (
      .clk_i,
      .rst_ni,
      .push_i,
      .data_i,
      .pop_i,
      .data_o(data)
  );

  stream_order #(
      .Width(Width),
      .Most (Depth)
  ) u_order (
      .clk_i,
      .rst_ni,
      .choose_i,
      .enter_i  (push_i),
      .entered_i(data_i),
      .leave_i  (pop_i),
      .left_i   (data),
      .inside_o (count),
      .chosen_o (chosen),
      .ahead_o  (ahead),
      .value_o  (value)
  );

  assign place = u_memory.read_q + AddressBits'(ahead);

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      valid_while_not_empty: assert (valid == (count != '0));
      level_is_the_count: assert (u_level.level_q == count && AddressBits'(u_memory.write_q - u_memory.read_q) == AddressBits'(count));
      chosen_lies_where_it_was_written: assert (!chosen || u_memory.memory[place] == value);
    end
  end

endmodule
