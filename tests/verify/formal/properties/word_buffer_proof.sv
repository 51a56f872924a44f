// moesaic_word_buffer: words leave in order with the tag of their last beat, the strobe of the lanes written and, one cycle later, the data
// written to each of these lanes.
module word_buffer_proof #(
    parameter int unsigned Lanes = 4,
    parameter int unsigned TagWidth = 4,
    parameter int unsigned Depth = 16,
    localparam int unsigned AddressBits = $clog2(Depth)
) (
    input logic                     clk_i,
    input logic                     rst_ni,
    input logic                     valid_i,
    input logic [$clog2(Lanes)-1:0] lane_i,
    input logic                     pair_i,
    input logic [1:0][127:0]        data_i,
    input logic                     last_i,
    input logic [TagWidth-1:0]      tag_i,
    input logic                     ready_i,
    input logic [Lanes-1:0]         choose_i
);

  logic ready, valid, write;
  logic [128*Lanes-1:0] data;
  logic [Lanes-1:0] strobe, written, lane;
  logic [TagWidth-1:0] tag;

  reset_assumed u_reset (.clk_i, .rst_ni);

  moesaic_word_buffer #(
      .Lanes   (Lanes),
      .TagWidth(TagWidth),
      .Depth   (Depth)
  ) u_words (
      .clk_i,
      .rst_ni,
      .valid_i,
      .ready_o (ready),
      .lane_i,
      .pair_i,
      .data_i,
      .last_i,
      .tag_i,
      .valid_o (valid),
      .ready_i,
      .data_o  (data),
      .strobe_o(strobe),
      .tag_o   (tag)
  );

  // The lanes of the word at the tail, as they are seen at the port.
  always_comb begin
    lane = Lanes'(1) << lane_i;
    if (pair_i) lane = lane | (Lanes'(1) << (lane_i ^ 1'b1));
    a_lane_is_written_once_a_word: assume (!valid_i || (written & lane) == '0);
  end
  assign write = valid_i && ready;

  always_ff @(posedge clk_i) begin
    if (write) written <= last_i ? '0 : written | lane;
    if (!rst_ni) written <= '0;
    if (rst_ni) lanes_agree: assert (u_words.strobe_q == written);
  end

  for (genvar l = 0; l < Lanes; l++) begin : gen_lane
    logic chosen, shown_q;
    logic [AddressBits:0] count, ahead;
    logic [AddressBits-1:0] place;
    logic [127:0] lane_data, lane_data_q, chosen_data, shown_data_q;
    logic [Lanes-1:0] chosen_strobe;
    logic [TagWidth-1:0] chosen_tag;

    assign lane_data = lane[l] ? data_i[l%2] : lane_data_q;
    assign place     = AddressBits'(u_words.read_q) + AddressBits'(ahead);

    stream_order #(
        .Width(TagWidth + Lanes),
        .Most (Depth)
    ) u_order (
        .clk_i,
        .rst_ni,
        .choose_i (choose_i[l]),
        .enter_i  (write && last_i),
        .entered_i({tag_i, written | lane}),
        .leave_i  (valid && ready_i),
        .left_i   ({tag, strobe}),
        .inside_o (count),
        .chosen_o (chosen),
        .ahead_o  (ahead),
        .value_o  ({chosen_tag, chosen_strobe})
    );

    always_ff @(posedge clk_i) begin
      if (write && lane[l]) lane_data_q <= data_i[l%2];
      if (write && last_i && !chosen) chosen_data <= lane_data;
      shown_q      <= rst_ni && valid && chosen && ahead == '0 && chosen_strobe[l];
      shown_data_q <= chosen_data;
      if (rst_ni) begin
        data_follows_the_word: assert (!shown_q || data[128*l+:128] == shown_data_q);
        valid_while_not_empty: assert (valid == (count != '0));
        ready_while_not_full: assert (ready == (count != (AddressBits + 1)'(Depth)));
        pointers_agree_with_count: assert (u_words.write_q - u_words.read_q == count);
        tail_holds_what_was_written: assert (!written[l]
            || u_words.gen_lane[l].memory[AddressBits'(u_words.write_q)] == lane_data_q);
        chosen_lies_where_it_was_written: assert (!chosen || u_words.tags[place] == {chosen_tag, chosen_strobe});
        chosen_data_lies_there: assert (!chosen || !chosen_strobe[l] || u_words.gen_lane[l].memory[place] == chosen_data);
        shown_data_stays: assert (!shown_q || u_words.gen_lane[l].memory[u_words.gen_lane[l].place] == shown_data_q);
        word_in_two_beats: cover (shown_q && chosen_strobe == '1);
      end
    end
  end

endmodule
