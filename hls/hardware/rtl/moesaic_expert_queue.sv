// The expert queues: per expert the tokens routed to it, in order, with their router scores.
//
// A push shows in count_o in the next cycle and can be read from the one after. A read is answered moesaic_memory_pkg::QUEUE_READ_CYCLES
// after its address: the address, the memory and its output register take a cycle each, none of them reset. rst_ni is the reset of the
// whole accelerator: like the entries, the counts outlive the core's reset between two runs.
//
// next_token_o is above the token of every entry: route refuses tokens below it, so that a queue has a token at most once, and as tokens
// are below QueueTokens, none is ever full when a token comes.
module moesaic_expert_queue #(
    parameter int unsigned Experts     = 16,
    parameter int unsigned QueueTokens = 128
) (
    input  logic                           clk_i,
    input  logic                           rst_ni,
    // written by route
    input  logic                           clear_i,
    input  logic                           next_valid_i,    // before the first push of an instruction
    input  logic [16:0]                    next_token_i,    // above the instruction's tokens
    output logic [16:0]                    next_token_o,
    input  logic                           push_valid_i,
    input  logic [$clog2(Experts)-1:0]     push_expert_i,
    input  logic [15:0]                    push_token_i,
    input  logic [15:0]                    push_score_i,
    // read by matmul and load
    output logic [Experts-1:0][16:0]       count_o,
    input  logic [$clog2(Experts)-1:0]     rd_expert_i,
    input  logic [$clog2(QueueTokens)-1:0] rd_index_i,
    output logic [15:0]                    rd_token_o,
    output logic [15:0]                    rd_score_o
);

  localparam int unsigned ExpertBits = $clog2(Experts);
  localparam int unsigned IndexBits  = $clog2(QueueTokens);

  if ((1 << ExpertBits) != Experts || Experts < 2) begin : gen_check_experts
    $fatal(1, "expert_queue: Experts is %0d, it must be a power of two, at least 2", Experts);
  end
  if ((1 << IndexBits) != QueueTokens || QueueTokens < 2) begin : gen_check_tokens
    $fatal(1, "expert_queue: QueueTokens is %0d, it must be a power of two, at least 2", QueueTokens);
  end

  (* ram_style = "block" *) logic [31:0] entries[Experts * QueueTokens];

  logic [Experts-1:0][16:0] count_q;
  logic [16:0] next_token_q;
  assign count_o      = count_q;
  assign next_token_o = next_token_q;

  logic                            push_q;
  logic [ExpertBits+IndexBits-1:0] push_address_q;
  logic [31:0]                     push_entry_q;

  logic [16:0] push_count;
  always_comb begin
    push_count = '0;
    for (int e = 0; e < int'(Experts); e++) if (push_expert_i == ExpertBits'(e)) push_count = count_q[e];
  end

  always_ff @(posedge clk_i) begin
    push_q <= push_valid_i;
    push_address_q <= {push_expert_i, IndexBits'(push_count)};
    push_entry_q <= {push_score_i, push_token_i};
    for (int e = 0; e < int'(Experts); e++) begin
      if (!rst_ni || clear_i) count_q[e] <= '0;
      else if (push_valid_i && push_expert_i == ExpertBits'(e)) count_q[e] <= count_q[e] + 17'd1;
    end
    if (!rst_ni) next_token_q <= '0;
    else if (next_valid_i) next_token_q <= next_token_i;
  end

  always_ff @(posedge clk_i) begin
    if (push_q) entries[push_address_q] <= push_entry_q;
  end

  logic [ExpertBits+IndexBits-1:0] rd_address_q;
  logic [31:0] rd_entry_q;

  always_ff @(posedge clk_i) begin
    rd_address_q <= {rd_expert_i, rd_index_i};
    rd_entry_q <= entries[rd_address_q];
    {rd_score_o, rd_token_o} <= rd_entry_q;
  end

`ifndef SYNTHESIS
  logic armed, counts_in_range;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_comb begin
    counts_in_range = 1'b1;
    for (int e = 0; e < int'(Experts); e++) if (count_q[e] > 17'(QueueTokens)) counts_in_range = 1'b0;
  end
  always_ff @(posedge clk_i) begin
    if (armed) begin
      count_in_range: assert (counts_in_range);
      never_full: assert (!push_valid_i || push_count != 17'(QueueTokens));
    end
  end
`endif

endmodule
