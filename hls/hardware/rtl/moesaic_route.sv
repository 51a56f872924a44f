// The route unit: router softmax and top-k per token, into the expert queues; moesaic.spec.arithmetic.route_token bit for bit.
//
// An instruction that appends tokens below those of the queues faults and leaves the queues alone: a queue has a token at most once.
//
// Experts that are absent lose every comparison, and their exponentials are zero.
//
// Three phases work on successive tokens at once: the maximum of a token's logits, two experts per cycle; rank (how many experts
// beat this one, all compared in parallel, ties to the lowest index) and exponential, one expert per cycle; score and push, one
// per cycle. Between the last two the sum of the exponentials runs through the reciprocal.
module moesaic_route #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned Experts     = 16
) (
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         instr_valid_i,
    output logic         instr_ready_o,
    input  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] instr_i,
    output logic         done_o,
    output logic         fault_o,
    output logic [3:0]   fault_cause_o,
    output logic         busy_o,

    output logic                      act_rd_valid_o,
    input  logic                      act_rd_ready_i,
    output logic [31:0]               act_rd_address_o,
    input  logic                      act_rd_data_valid_i,
    input  logic [16*TileColumns-1:0] act_rd_data_i,
    input  logic                      act_rd_fault_i,

    output logic                       queue_next_valid_o,
    output logic                       queue_clear_o,
    output logic [16:0]                queue_next_token_o,
    input  logic [16:0]                queue_next_token_i,
    output logic                       queue_push_valid_o,
    output logic [$clog2(Experts)-1:0] queue_push_expert_o,
    output logic [15:0]                queue_push_token_o,
    output logic [15:0]                queue_push_score_o
);

  localparam int unsigned WordShift  = $clog2(2 * TileColumns);
  localparam int unsigned ExpertBits = $clog2(Experts);
  localparam int unsigned Words      = (Experts + TileColumns - 1) / TileColumns;    // of one token, at most
  localparam int unsigned Pairs      = Words * TileColumns / 2;
  localparam int unsigned PairBits   = $clog2(Pairs);
  localparam int unsigned WordBits   = (Words > 1) ? $clog2(Words) : 1;
  localparam int unsigned SumWidth   = 17 + ExpertBits;                              // Experts * 65,536 < 2**SumWidth
  localparam int unsigned Tokens     = 4;                                            // between ranking and pushing, at most

  moesaic_isa_pkg::route_t instr;
  assign instr = instr_i;

  logic start, started_q, finished, repeats_q;
  logic [16:0] next_token_q;

  assign queue_next_valid_o = started_q && !repeats_q;
  assign queue_clear_o      = start && !instr.append;
  assign queue_next_token_o = next_token_q;

  always_ff @(posedge clk_i) begin
    started_q    <= rst_ni && start;
    repeats_q    <= rst_ni && start && instr.append && 17'(instr.first) < queue_next_token_i;
    next_token_q <= 17'(instr.first) + 17'(instr.rows);
  end

  moesaic_unit_state u_state (
      .clk_i,
      .rst_ni,
      .instr_valid_i,
      .instr_ready_o,
      .outside_i     (1'b0),
      .memory_fault_i(act_rd_fault_i || repeats_q),
      .finished_i    (finished),
      .start_o       (start),
      .busy_o,
      .done_o,
      .fault_o,
      .fault_cause_o
  );

  // Shape of the instruction.
  logic [ExpertBits-1:0] last_expert_q;
  logic [WordBits-1:0] last_word_q;
  logic [15:0] last_row_q, last_token_q;
  logic [7:0] top_k_q;
  logic [63:0] absent;
  logic [Experts-1:0] present_q;    // that tokens can choose

  assign absent = {instr.absent_high, instr.absent_low};

  always_ff @(posedge clk_i) begin
    if (start) begin
      for (int e = 0; e < int'(Experts); e++) present_q[e] <= 32'(e) < 32'(instr.columns) && !absent[e];
      last_expert_q <= ExpertBits'(instr.columns - 16'd1);
      last_word_q   <= WordBits'((instr.columns - 16'd1) >> $clog2(TileColumns));
      last_row_q    <= instr.rows - 16'd1;
      last_token_q  <= instr.first + instr.rows - 16'd1;
      top_k_q       <= instr.top_k;
    end
  end

  // --- load a token's logits, then find their maximum ----------------------------------------------------------------

  logic reading_q, requesting_q, maximum_active_q, loaded_q;    // loaded: logits and maximum are complete
  logic rd_grant, rd_granted_q, hand_over, rank_ready;
  logic [WordBits-1:0] rd_word_q, answer_word_q;
  logic [31:0] rd_address_q, next_row;
  logic [15:0] rd_row_q;
  logic [Pairs-1:0][1:0][15:0] logits_q;
  logic [PairBits-1:0] maximum_pair_q;
  logic [Pairs-1:0][1:0] present_pairs;
  logic [1:0] present_pair;
  logic [1:0][15:0] pair;
  logic [15:0] pair_maximum_q, maximum_q;
  logic pair_valid_q, pair_last_q, pair_present_q;

  assign act_rd_valid_o   = requesting_q;
  assign act_rd_address_o = rd_address_q;
  assign rd_grant         = act_rd_valid_o && act_rd_ready_i;
  assign hand_over        = loaded_q && rank_ready;

  moesaic_row_address u_source (
      .clk_i,
      .start_i  (start),
      .base_i   (instr.source_address >> WordShift),
      .pitch_i  (instr.source_pitch >> WordShift),
      .next_i   (hand_over),
      .next_o   (next_row)
  );

  assign pair          = logits_q[maximum_pair_q];
  assign present_pairs = (2 * Pairs)'(present_q);
  assign present_pair  = present_pairs[maximum_pair_q];

  always_ff @(posedge clk_i) begin
    if (start) begin
      reading_q     <= instr.rows != '0;
      requesting_q  <= instr.rows != '0;
      rd_row_q      <= '0;
      rd_word_q     <= '0;
      answer_word_q <= '0;
      rd_address_q  <= instr.source_address >> WordShift;
    end else begin
      // The memory decides late in a cycle whom it serves: its grant moves next to nothing in the same cycle.
      if (rd_grant) requesting_q <= 1'b0;
      if (rd_granted_q) begin
        rd_word_q    <= rd_word_q + 1'b1;
        rd_address_q <= rd_address_q + 32'd1;
        requesting_q <= rd_word_q != last_word_q;
      end
      if (act_rd_data_valid_i) begin
        logits_q[32'(answer_word_q)*(TileColumns/2)+:TileColumns/2] <= act_rd_data_i;
        answer_word_q    <= answer_word_q + 1'b1;
        maximum_active_q <= answer_word_q == last_word_q;
        maximum_pair_q   <= '0;
        maximum_q        <= 16'h8000;
      end
      if (maximum_active_q) begin
        maximum_pair_q <= maximum_pair_q + 1'b1;
        if (maximum_pair_q == PairBits'(last_expert_q >> 1)) maximum_active_q <= 1'b0;
      end
      if (pair_valid_q) begin
        if (pair_present_q && $signed(pair_maximum_q) > $signed(maximum_q)) maximum_q <= pair_maximum_q;
        loaded_q <= pair_last_q;
      end
      if (hand_over) begin
        loaded_q      <= 1'b0;
        rd_row_q      <= rd_row_q + 16'd1;
        rd_word_q     <= '0;
        rd_address_q  <= next_row;
        answer_word_q <= '0;
        reading_q     <= rd_row_q != last_row_q;
        requesting_q  <= rd_row_q != last_row_q;
      end
    end
    rd_granted_q   <= rd_grant;
    pair_valid_q   <= maximum_active_q;
    pair_last_q    <= maximum_pair_q == PairBits'(last_expert_q >> 1);
    pair_present_q <= present_pair != '0;
    pair_maximum_q <= pair[0];
    if (present_pair[1] && (!present_pair[0] || $signed(pair[1]) > $signed(pair[0]))) pair_maximum_q <= pair[1];
    if (!rst_ni) begin
      reading_q        <= 1'b0;
      pair_valid_q     <= 1'b0;
      requesting_q     <= 1'b0;
      rd_granted_q     <= 1'b0;
      maximum_active_q <= 1'b0;
      loaded_q         <= 1'b0;
    end
  end

  // --- rank and exponential ------------------------------------------------------------------------------------------
  // Stages: 1 the expert's logit, 2 who beats it, and its distance from the maximum, 3 selected, 4 exponential.

  logic rank_active_q;
  logic [ExpertBits-1:0] rank_expert_q;
  logic [Experts-1:0][15:0] rank_logits_q;
  logic [Experts-1:0] beats, beats_q;
  logic [15:0] rank_maximum_q, candidate_q, distance_q;
  logic [16:0] exponential;
  logic [4:1] rk_valid_q, rk_last_q;
  logic [4:1][ExpertBits-1:0] rk_expert_q;
  logic [2:1] rk_present_q;
  logic [4:3] rk_selected_q;
  logic [ExpertBits:0] rank;
  logic [2:0] tokens_q;
  logic push_last;

  // The last candidate is compared in the cycle in which the next token's logits arrive.
  assign rank_ready = !rank_active_q && tokens_q != 3'(Tokens);

  always_comb begin
    rank = '0;
    for (int e = 0; e < int'(Experts); e++) begin
      beats[e] = present_q[e] && ($signed(rank_logits_q[e]) > $signed(candidate_q)
                                  || (rank_logits_q[e] == candidate_q && ExpertBits'(e) < rk_expert_q[1]));
      rank     = rank + (ExpertBits + 1)'(beats_q[e]);
    end
  end

  moesaic_exp2 #(.Lanes(1)) u_exp2 (.clk_i, .distance_i(distance_q), .exponential_o(exponential));

  always_ff @(posedge clk_i) begin
    if (hand_over) begin
      rank_logits_q  <= logits_q[Experts/2-1:0];
      rank_maximum_q <= maximum_q;
      rank_expert_q  <= '0;
    end else begin
      rank_expert_q <= rank_expert_q + 1'b1;
    end
    candidate_q   <= rank_logits_q[rank_expert_q];
    beats_q       <= beats;
    // nothing is left of the exponential at this distance
    distance_q    <= rk_present_q[1] ? rank_maximum_q - candidate_q : 16'hffff;
    rk_present_q  <= {rk_present_q[1], present_q[rank_expert_q]};
    rk_selected_q <= {rk_selected_q[3], rk_present_q[2] && 32'(rank) < 32'(top_k_q)};
    rk_expert_q   <= {rk_expert_q[3:1], rank_expert_q};
    rk_last_q     <= {rk_last_q[3:1], rank_expert_q == last_expert_q};
    if (!rst_ni) begin
      rank_active_q <= 1'b0;
      rk_valid_q    <= '0;
      tokens_q      <= '0;
    end else begin
      rank_active_q <= hand_over || (rank_active_q && rank_expert_q != last_expert_q);
      rk_valid_q    <= {rk_valid_q[3:1], rank_active_q};
      tokens_q      <= tokens_q + 3'(hand_over) - 3'(push_last);
    end
  end

  logic [SumWidth-1:0] sum_q;
  logic sum_first_q, sum_valid_q;

  always_ff @(posedge clk_i) begin
    if (rk_valid_q[4]) begin
      sum_q       <= (sum_first_q ? '0 : sum_q) + SumWidth'(exponential);
      sum_first_q <= rk_last_q[4];
    end
    sum_valid_q <= rk_valid_q[4] && rk_last_q[4];
    if (!rst_ni) begin
      sum_first_q <= 1'b1;
      sum_valid_q <= 1'b0;
    end
  end

  // --- score and push ------------------------------------------------------------------------------------------------

  logic reciprocal_valid, scale_valid, scale_ready, entry_valid, entry_ready, pop;
  logic [15:0] reciprocal_mantissa, mantissa;
  logic [5:0] reciprocal_bits, sum_bits;
  logic [16:0] entry_exponential;
  logic [ExpertBits-1:0] entry_expert;
  logic entry_selected, entry_last;

  moesaic_reciprocal #(
      .Width(SumWidth)
  ) u_reciprocal (
      .clk_i,
      .rst_ni,
      .valid_i   (sum_valid_q),
      .value_i   (sum_q),
      .valid_o   (reciprocal_valid),
      .mantissa_o(reciprocal_mantissa),
      .bits_o    (reciprocal_bits)
  );

  // Tokens in flight are counted, so neither queue ever refuses.
  moesaic_fifo #(
      .Width($bits({sum_bits, mantissa})),
      .Depth(Tokens)
  ) u_scale (
      .clk_i,
      .rst_ni,
      .valid_i(reciprocal_valid),
      .ready_o(scale_ready),
      .data_i ({reciprocal_bits, reciprocal_mantissa}),
      .valid_o(scale_valid),
      .ready_i(push_last),
      .data_o ({sum_bits, mantissa})
  );

  moesaic_fifo #(
      .Width($bits({entry_last, entry_selected, entry_expert, entry_exponential})),
      .Depth(Tokens * Experts)
  ) u_entry (
      .clk_i,
      .rst_ni,
      .valid_i(rk_valid_q[4]),
      .ready_o(entry_ready),
      .data_i ({rk_last_q[4], rk_selected_q[4], rk_expert_q[4], exponential}),
      .valid_o(entry_valid),
      .ready_i(pop),
      .data_o ({entry_last, entry_selected, entry_expert, entry_exponential})
  );

  assign pop       = entry_valid && scale_valid;
  assign push_last = pop && entry_last;

  // Stages: 0 exponential and mantissa, 1 their product, 2 its second register, 3 score: the product shifted by one bit less than it
  // is worth, and rounded. The sum has 17 bits at least, for the largest exponential is 65,536.
  logic [3:0] ps_selected_q;
  logic [3:0][ExpertBits-1:0] ps_expert_q;
  logic [3:0][15:0] ps_token_q;
  logic [16:0] exponential_q;
  logic [15:0] token_q, score_q, mantissa_q;
  logic [32:0] multiplied_q, product_q, rounded;
  logic [1:0][5:0] product_shift_q;
  logic [5:0] product_shift;
  logic pushing_q;

  // A register of its own at the end, since three in a row become a shift register of LUTs, which is late.
  moesaic_replica #(
      .Width(6)
  ) u_product_shift (
      .clk_i,
      .data_i(product_shift_q[1]),
      .data_o(product_shift)
  );

  assign rounded = ((product_q >> product_shift) + 33'd1) >> 1;

  always_ff @(posedge clk_i) begin
    exponential_q   <= entry_exponential;
    mantissa_q      <= mantissa;
    multiplied_q    <= 33'(exponential_q) * 33'(mantissa_q);
    product_q       <= multiplied_q;
    product_shift_q <= {product_shift_q[0], sum_bits - 6'd2};
    score_q         <= (rounded > 33'd65535) ? 16'hffff : rounded[15:0];
    ps_expert_q     <= {ps_expert_q[2:0], entry_expert};
    ps_token_q      <= {ps_token_q[2:0], token_q};
    if (start) begin
      token_q   <= instr.first;
      pushing_q <= instr.rows != '0;
    end else if (push_last) begin
      token_q <= token_q + 16'd1;
      if (token_q == last_token_q) pushing_q <= 1'b0;
    end
    if (!rst_ni) begin
      pushing_q     <= 1'b0;
      ps_selected_q <= '0;
    end else begin
      ps_selected_q <= {ps_selected_q[2:0], pop && entry_selected};
    end
  end

  assign queue_push_valid_o  = ps_selected_q[3] && busy_o;    // nothing after a fault
  assign queue_push_expert_o = ps_expert_q[3];
  assign queue_push_token_o  = ps_token_q[3];
  assign queue_push_score_o  = score_q;

  // Done follows finished by one cycle, in which the queue memory takes the last push.
  assign finished = !reading_q && !pushing_q && ps_selected_q == '0;

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      tokens_in_range: assert (tokens_q <= 3'(Tokens));
      entry_never_refused: assert (entry_ready || !rk_valid_q[4]);
      scale_never_refused: assert (scale_ready || !reciprocal_valid);
    end
  end

  moesaic_handshake_rules #(
      .Width($bits(act_rd_address_o))
  ) u_read_rules (
      .clk_i,
      .rst_ni,
      .valid_i  (act_rd_valid_o),
      .ready_i  (act_rd_ready_i),
      .payload_i(act_rd_address_o)
  );
`endif

endmodule
