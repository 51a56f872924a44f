// moesaic_expert_queue: one entry that the solver chooses, by expert and index, is read as it was pushed; counts are those of the pushes
// since the last clear, and no queue is full when a token comes.
//
// Assumed of route: the tokens of a queue come in ascending order, as next_token_o lets it see to, and are below QueueTokens.
module expert_queue_proof #(
    parameter int unsigned Experts = 4,
    parameter int unsigned QueueTokens = 8,
    localparam int unsigned ExpertBits = $clog2(Experts),
    localparam int unsigned IndexBits = $clog2(QueueTokens)
) (
    input logic                  clk_i,
    input logic                  rst_ni,
    input logic                  clear_i,
    input logic                  next_valid_i,
    input logic [16:0]           next_token_i,
    input logic                  push_valid_i,
    input logic [ExpertBits-1:0] push_expert_i,
    input logic [15:0]           push_token_i,
    input logic [15:0]           push_score_i,
    input logic [ExpertBits-1:0] rd_expert_i,
    input logic [IndexBits-1:0]  rd_index_i,
    input logic [ExpertBits-1:0] expert_i,
    input logic [IndexBits-1:0]  index_i
);

  logic [16:0] next_token, next_token_q;
  logic [Experts-1:0][16:0] count;
  logic [15:0] token, score;

  reset_assumed u_reset (.clk_i, .rst_ni);

  held_constant #(
      .Width(ExpertBits + IndexBits)
  ) u_chosen (
      .clk_i,
      .value_i({expert_i, index_i})
  );

  moesaic_expert_queue #(
      .Experts    (Experts),
      .QueueTokens(QueueTokens)
  ) u_queue (
      .clk_i,
      .rst_ni,
      .clear_i,
      .next_valid_i,
      .next_token_i,
      .next_token_o(next_token),
      .push_valid_i,
      .push_expert_i,
      .push_token_i,
      .push_score_i,
      .count_o   (count),
      .rd_expert_i,
      .rd_index_i,
      .rd_token_o(token),
      .rd_score_o(score)
  );

  // Per queue, what is above its last token.
  logic [Experts-1:0][16:0] above_q;
  logic ascends;
  always_comb begin
    ascends = 17'(push_token_i) >= above_q[push_expert_i] && push_token_i < 16'(QueueTokens);
    tokens_ascend: assume (!push_valid_i || ascends);
    no_push_in_reset: assume (rst_ni || !push_valid_i);
    clears_before_it_pushes: assume (!clear_i || !push_valid_i);
  end

  for (genvar e = 0; e < Experts; e++) begin : gen_expert
    always_ff @(posedge clk_i) begin
      if (!rst_ni || clear_i) above_q[e] <= '0;
      else if (push_valid_i && push_expert_i == ExpertBits'(e)) above_q[e] <= 17'(push_token_i) + 17'd1;
      if (rst_ni) no_more_than_its_tokens: assert (count[e] <= above_q[e] && above_q[e] <= 17'(QueueTokens));
    end
  end

  // Pushed, and for how long: an entry can be read from the second cycle after its push on.
  logic [16:0] count_q;
  logic pushed_q, settled_q, pushes;
  logic [31:0] entry_q;
  logic [2:0] asked_q;
  logic [2:0][31:0] expected_q;

  assign pushes = push_valid_i && push_expert_i == expert_i;

  always_ff @(posedge clk_i) begin
    if (next_valid_i) next_token_q <= next_token_i;
    if (clear_i) count_q <= '0;
    else if (pushes) count_q <= count_q + 17'd1;
    if (pushes && count_q == 17'(index_i)) begin
      pushed_q  <= 1'b1;
      settled_q <= 1'b0;
      entry_q   <= {push_score_i, push_token_i};
    end else begin
      settled_q <= pushed_q;
    end
    // A clear lets later pushes write the entry again.
    asked_q    <= {asked_q[1:0], settled_q && rd_expert_i == expert_i && rd_index_i == index_i};
    expected_q <= {expected_q[1:0], entry_q};
    if (!rst_ni) begin
      next_token_q <= '0;
      count_q   <= '0;
      pushed_q  <= 1'b0;
      settled_q <= 1'b0;
      asked_q   <= '0;
    end
    if (rst_ni) begin
      counts_pushes_since_the_clear: assert (count[expert_i] == count_q);
      never_more_than_it_can_hold: assert (count_q <= 17'(QueueTokens));
      never_full_when_a_token_comes: assert (!pushes || count_q != 17'(QueueTokens));
      next_token_is_kept: assert (next_token == next_token_q);
      read_as_it_was_pushed: assert (!asked_q[2] || {score, token} == expected_q[2]);
      reads_the_last_entry: cover (asked_q[2] && index_i == '1);
      fills: cover (count_q == 17'(QueueTokens));
      // What induction needs: where the entry is on its way.
      lies_in_memory: assert (!settled_q || u_queue.entries[{expert_i, index_i}] == entry_q);
      is_being_written: assert (!(pushed_q && !settled_q) || (u_queue.push_q && u_queue.push_address_q == {expert_i, index_i}
          && u_queue.push_entry_q == entry_q));
      no_other_write_hits_it: assert (!(u_queue.push_q && u_queue.push_address_q == {expert_i, index_i}) || !settled_q);
      settles_after_its_push: assert (!settled_q || pushed_q);
      address_on_its_way: assert (!asked_q[0] || (u_queue.rd_address_q == {expert_i, index_i}
          && u_queue.entries[{expert_i, index_i}] == expected_q[0]));
      answer_on_its_way: assert (!asked_q[1] || u_queue.rd_entry_q == expected_q[1]);
    end
  end

endmodule
