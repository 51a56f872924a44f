// Reads the rows of a from the activation memory into the operand buffer, ahead of the array.
//
// A row tile is fetched word by word, each word for all its rows, ActPorts rows at once, so that the array can start with
// the first words; row tiles, and the instructions they belong to, follow one another as far as the ring of RingWords words
// per row has room. Row r goes through port r % ActPorts. The ports are granted independently and advance together.
// An address beyond 32 bits becomes the highest one, so that it faults in the memory instead of wrapping.
module moesaic_operand_fetch #(
    parameter int unsigned TileRows = 4,
    parameter int unsigned TileColumns = 8,
    parameter int unsigned ActPorts = 2,
    parameter int unsigned RingWords = 256
) (
    input  logic                                          clk_i,
    input  logic                                          rst_ni,
    // an instruction; its fields stay as they are until the next start, for which ready_o must be high
    input  logic                                          start_i,
    output logic                                          ready_o,
    input  logic                                          slot_i,
    input  logic                                          gather_i,
    input  logic [15:0]                                   queue_first_i,
    input  logic [15:0]                                   rows_i,          // at least 1
    input  logic [$clog2(RingWords):0]                    words_i,         // words of one row
    input  logic [31:0]                                   address_i,       // word address of row 0
    input  logic [31-$clog2(2*TileColumns):0]             pitch_i,         // words between rows
    // tokens of the expert queue, moesaic_memory_pkg::QUEUE_READ_CYCLES after their index; always granted
    output logic                                          queue_valid_o,
    output logic [15:0]                                   queue_index_o,
    input  logic [15:0]                                   queue_token_i,
    // activation memory; fault_slot_o belongs to the grants of the cycle before
    output logic [ActPorts-1:0]                           rd_valid_o,
    input  logic [ActPorts-1:0]                           rd_ready_i,
    output logic [ActPorts-1:0][31:0]                     rd_address_o,
    input  logic [ActPorts-1:0]                           rd_data_valid_i,
    input  logic [ActPorts-1:0][16*TileColumns-1:0]       rd_data_i,
    output logic                                          fault_slot_o,
    // operand buffer: rows wr_group_o * ActPorts on; group and slot come a cycle before their data
    output logic [ActPorts-1:0]                           wr_enable_o,
    output logic [$clog2(TileRows+1)-1:0]                 wr_group_o,
    output logic [$clog2(RingWords)-1:0]                  wr_slot_o,
    output logic [ActPorts-1:0][16*TileColumns-1:0]       wr_data_o,
    // words written for all rows, and words given back by the array; both modulo 2 * RingWords
    output logic [$clog2(RingWords):0]                    filled_o,
    input  logic [$clog2(RingWords):0]                    released_i
);

  localparam int unsigned SlotBits = $clog2(RingWords);
  localparam int unsigned CountBits = $clog2(TileRows + 1);
  localparam int unsigned Groups = TileRows / ActPorts;
  localparam int unsigned GroupBits = (Groups > 1) ? $clog2(Groups) : 1;
  localparam int unsigned PortBits = $clog2(ActPorts);
  localparam int unsigned PitchBits = 32 - $clog2(2 * TileColumns);
  // A token times a pitch, and an address.
  localparam int unsigned OffsetBits = PitchBits + 17;
  // A multiplier takes that many bits of a pitch; behind a longer one, the second row is beyond any memory already.
  localparam int unsigned FactorBits = 26;
  localparam logic [CountBits-1:0] LastGroup = CountBits'(Groups - 1);

  // --- base addresses of the rows, up to two row tiles ahead: {beyond 32 bits, address} ---

  logic [1:0][CountBits-1:0] known_q;  // groups of rows whose bases are known, in each half
  logic [1:0] tiles_ahead_q;           // halves in use
  logic lookup_half_q, issue_half_q;
  logic [15:0] lookup_index_q, lookup_left_q;
  logic [CountBits-1:0] lookup_in_tile_q, lookup_rows;
  logic lookup, lookup_last, lookup_ends_tile, lookup_ends_group, issue_ends_tile;

  // Gathered rows are looked up one by one, others ActPorts at once.
  assign lookup_rows = gather_i ? CountBits'(1) : CountBits'(ActPorts);
  assign lookup = lookup_left_q != 0 && tiles_ahead_q != 2'd2;
  assign lookup_last = lookup_left_q <= 16'(lookup_rows);
  assign lookup_ends_tile = lookup && (lookup_last || lookup_in_tile_q == CountBits'(TileRows) - lookup_rows);
  assign lookup_ends_group = lookup_last || !gather_i || (lookup_in_tile_q & CountBits'(ActPorts - 1)) == CountBits'(ActPorts - 1);
  assign queue_valid_o = lookup && gather_i;
  assign queue_index_o = lookup_index_q;

  // A gathered row's base: one multiplier with all its registers, of token and pitch, of the product, and of the sum.
  localparam int unsigned GatherCycles = moesaic_memory_pkg::QUEUE_READ_CYCLES + 3;

  logic [GatherCycles-1:0] stage_valid_q, stage_half_q, stage_ends_group_q;
  logic [GatherCycles-1:0][CountBits-1:0] stage_row_q;
  logic [FactorBits-1:0] factor;
  logic [OffsetBits-1:0] running_q;
  /* verilator lint_off UNUSEDSIGNAL */
  logic [47:0] gathered, cascade;
  /* verilator lint_on UNUSEDSIGNAL */
  logic base_valid, base_half, base_ends_group;
  logic [CountBits-1:0] base_row, base_group;

  assign base_valid = gather_i ? stage_valid_q[GatherCycles-1] : lookup;
  assign base_half = gather_i ? stage_half_q[GatherCycles-1] : lookup_half_q;
  assign base_row = gather_i ? stage_row_q[GatherCycles-1] : lookup_in_tile_q;
  assign base_ends_group = gather_i ? stage_ends_group_q[GatherCycles-1] : lookup_ends_group;
  assign base_group = base_row >> PortBits;
  assign factor = (32'(pitch_i) >> FactorBits != '0) ? '1 : FactorBits'(pitch_i);

  moesaic_dsp48_mac u_gathered (
      .clk_i,
      .a_i      ({1'b0, factor}),
      .b_i      ({2'b00, queue_token_i}),
      .c_i      ({16'd0, address_i}),
      .cascade_i('0),
      .cascade_o(cascade),
      .sum_o    (gathered)
  );

  always_ff @(posedge clk_i) begin
    if (lookup) begin
      lookup_index_q <= lookup_index_q + 16'd1;
      lookup_left_q <= lookup_last ? '0 : lookup_left_q - 16'(lookup_rows);
      lookup_in_tile_q <= lookup_ends_tile ? '0 : lookup_in_tile_q + lookup_rows;
      running_q <= running_q + (OffsetBits'(pitch_i) << PortBits);
      if (lookup_ends_tile) lookup_half_q <= ~lookup_half_q;
    end
    stage_valid_q <= {stage_valid_q[GatherCycles-2:0], queue_valid_o};
    stage_half_q <= {stage_half_q[GatherCycles-2:0], lookup_half_q};
    stage_row_q <= {stage_row_q[GatherCycles-2:0], lookup_in_tile_q};
    stage_ends_group_q <= {stage_ends_group_q[GatherCycles-2:0], lookup_ends_group};
    if (issue_ends_tile) known_q[issue_half_q] <= '0;
    if (base_valid && base_ends_group) known_q[base_half] <= base_group + 1'b1;
    tiles_ahead_q <= tiles_ahead_q + 2'(lookup_ends_tile) - 2'(issue_ends_tile);
    if (start_i) begin
      lookup_index_q <= queue_first_i;
      lookup_left_q <= rows_i;
      running_q <= OffsetBits'(address_i);
    end
    if (!rst_ni) begin
      stage_valid_q <= '0;
      known_q <= '0;
      tiles_ahead_q <= '0;
      lookup_half_q <= 1'b0;
      lookup_in_tile_q <= '0;
      lookup_left_q <= '0;
    end
  end

  // --- requests ---

  logic issue_pending_q, issue_slot_q;
  logic [15:0] issue_left_q;  // rows of this tile and all later ones
  logic [CountBits-1:0] issue_group_q;
  logic [SlotBits:0] issue_word_q, issue_words_q, allocated_q;
  logic issue, issue_last_group, issue_ends_word, request_free, request_leaves;
  logic request_ends_word, request_slot;
  logic [CountBits-1:0] request_group;
  logic [SlotBits-1:0] request_word;
  logic [15:0] issue_row;
  logic [ActPorts-1:0] port_used;
  logic [ActPorts-1:0][31:0] address;

  assign ready_o = lookup_left_q == 0 && stage_valid_q == '0 && !issue_pending_q;
  assign issue_row = 16'(issue_group_q) << PortBits;
  assign issue = issue_left_q != 0 && issue_group_q < known_q[issue_half_q]
      && allocated_q - released_i != (SlotBits + 1)'(RingWords) && request_free;
  assign issue_last_group = issue_group_q == LastGroup || issue_row + 16'(ActPorts) >= issue_left_q;
  assign issue_ends_word = issue && issue_last_group;
  assign issue_ends_tile = issue_ends_word && issue_word_q == issue_words_q - 1'b1;

  for (genvar p = 0; p < ActPorts; p++) begin : gen_port
    (* ram_style = "distributed" *) logic [32:0] bases[2*(1<<GroupBits)];
    logic [OffsetBits-1:0] sum;
    logic [32:0] base, end_sum;

    assign sum = gather_i ? gathered[OffsetBits-1:0] : running_q + OffsetBits'(p) * OffsetBits'(pitch_i);
    assign base = bases[{issue_half_q, GroupBits'(issue_group_q)}];
    assign end_sum = {1'b0, base[31:0]} + 33'(issue_word_q);
    assign address[p] = (base[32] || end_sum[32]) ? '1 : end_sum[31:0];
    assign port_used[p] = issue_row + 16'(p) < issue_left_q;

    always_ff @(posedge clk_i) begin
      if (base_valid && (!gather_i || (base_row & CountBits'(ActPorts - 1)) == CountBits'(p))) begin
        bases[{base_half, GroupBits'(base_group)}] <= {sum[OffsetBits-1:32] != '0, sum[31:0]};
      end
    end
  end

  moesaic_port_buffer #(
      .Width($bits({rd_address_o, request_group, request_word, request_ends_word, request_slot})),
      .Ports(ActPorts)
  ) u_request (
      .clk_i,
      .rst_ni,
      .valid_i     (issue),
      .ready_o     (request_free),
      .ports_i     (port_used),
      .data_i      ({address, issue_group_q, allocated_q[SlotBits-1:0], issue_ends_word, issue_slot_q}),
      .port_valid_o(rd_valid_o),
      .port_ready_i(rd_ready_i),
      .data_o      ({rd_address_o, request_group, request_word, request_ends_word, request_slot}),
      .leaves_o    (request_leaves)
  );

  always_ff @(posedge clk_i) begin
    if (issue) issue_group_q <= issue_ends_word ? '0 : issue_group_q + 1'b1;
    if (issue_ends_word) begin
      allocated_q <= allocated_q + 1'b1;
      issue_word_q <= issue_ends_tile ? '0 : issue_word_q + 1'b1;
    end
    if (issue_ends_tile) begin
      issue_half_q <= ~issue_half_q;
      issue_left_q <= (issue_left_q > 16'(TileRows)) ? issue_left_q - 16'(TileRows) : '0;
    end
    if (issue_pending_q && issue_left_q == 0) begin
      issue_pending_q <= 1'b0;
      issue_left_q <= rows_i;
      issue_words_q <= words_i;
      issue_slot_q <= slot_i;
    end
    if (start_i) issue_pending_q <= 1'b1;
    fault_slot_o <= request_slot;
    if (!rst_ni) begin
      issue_pending_q <= 1'b0;
      issue_left_q <= '0;
      issue_group_q <= '0;
      issue_word_q <= '0;
      issue_half_q <= 1'b0;
      allocated_q <= '0;
    end
  end

  // --- answers ---

  localparam int unsigned AnswerCycles = moesaic_memory_pkg::ACT_READ_CYCLES;

  logic [AnswerCycles-2:0][CountBits-1:0] answer_group_q;
  logic [AnswerCycles-2:0][SlotBits-1:0] answer_word_q;
  logic [AnswerCycles-1:0] answer_ends_word_q;

  assign wr_enable_o = rd_data_valid_i;
  assign wr_group_o = answer_group_q[AnswerCycles-2];
  assign wr_slot_o = answer_word_q[AnswerCycles-2];
  assign wr_data_o = rd_data_i;

  always_ff @(posedge clk_i) begin
    answer_group_q <= {answer_group_q[AnswerCycles-3:0], request_group};
    answer_word_q <= {answer_word_q[AnswerCycles-3:0], request_word};
    // the last port's grant, and so its answer, completes the word
    answer_ends_word_q <= {answer_ends_word_q[AnswerCycles-2:0], request_leaves && request_ends_word};
    if (answer_ends_word_q[AnswerCycles-1]) filled_o <= filled_o + 1'b1;
    if (!rst_ni) begin
      answer_ends_word_q <= '0;
      filled_o <= '0;
    end
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      tiles_ahead_in_range: assert (tiles_ahead_q <= 2'd2);
      ring_never_overflows: assert ((SlotBits + 1)'(allocated_q - released_i) <= (SlotBits + 1)'(RingWords));
      filled_is_allocated: assert ((SlotBits + 1)'(filled_o - released_i) <= (SlotBits + 1)'(allocated_q - released_i));
      starts_only_when_ready: assert (ready_o || !start_i);
    end
  end
`endif

endmodule
