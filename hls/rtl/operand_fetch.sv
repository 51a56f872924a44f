// Reads the rows of a from the activation memory into the operand buffer, ahead of the array.
//
// A row tile is fetched word by word, each word for all its rows, so that the array can start with the first words; row
// tiles follow one another as far as the ring of RingWords words per row has room. Addresses are computed in 48 bits and
// clipped to 32, so that a wild one faults in the memory instead of wrapping.
module operand_fetch #(
    parameter int unsigned TileRows = 4,
    parameter int unsigned TileColumns = 8,
    parameter int unsigned RingWords = 256
) (
    input  logic                            clk_i,
    input  logic                            rst_ni,
    input  logic                            start_i,
    // the instruction, stable while it executes
    input  logic                            gather_i,
    input  logic [16:0]                     rows_i,
    input  logic [$clog2(RingWords):0]      words_i,       // words of one row
    input  logic [31:0]                     address_i,     // word address of row 0
    input  logic [31:0]                     pitch_i,       // words between rows
    // tokens of the expert queue, one cycle after their index; always granted
    output logic                            queue_valid_o,
    output logic [15:0]                     queue_index_o,
    input  logic [15:0]                     queue_token_i,
    // activation memory
    output logic                            rd_valid_o,
    input  logic                            rd_ready_i,
    output logic [31:0]                     rd_address_o,
    input  logic                            rd_data_valid_i,
    input  logic [16*TileColumns-1:0]       rd_data_i,
    // operand buffer
    output logic                            wr_enable_o,
    output logic [$clog2(TileRows+1)-1:0]   wr_row_o,
    output logic [$clog2(RingWords)-1:0]    wr_slot_o,
    output logic [16*TileColumns-1:0]       wr_data_o,
    // words written for all rows, and words given back by the array, since the start; both modulo 2 * RingWords
    output logic [$clog2(RingWords):0]      filled_o,
    input  logic [$clog2(RingWords):0]      released_i
);

  localparam int unsigned SlotBits = $clog2(RingWords);
  localparam int unsigned CountBits = $clog2(TileRows + 1);
  localparam int unsigned RowBits = (TileRows > 1) ? $clog2(TileRows) : 1;
  localparam logic [CountBits-1:0] LastRow = CountBits'(TileRows - 1);

  // --- base addresses of the rows, up to two row tiles ahead ---

  (* ram_style = "distributed" *) logic [47:0] bases[2*(1<<RowBits)];
  logic [1:0][CountBits-1:0] ready_q;  // bases known in each half
  logic [1:0] tiles_ahead_q;           // halves in use
  logic lookup_half_q, issue_half_q;
  logic [16:0] lookup_row_q, lookup_left_q;
  logic [CountBits-1:0] lookup_in_tile_q;
  logic lookup, lookup_ends_tile, issue_ends_tile;

  assign lookup = lookup_left_q != 0 && tiles_ahead_q != 2'd2;
  assign lookup_ends_tile = lookup && (lookup_in_tile_q == LastRow || lookup_left_q == 17'd1);
  assign queue_valid_o = lookup && gather_i;
  assign queue_index_o = lookup_row_q[15:0];

  logic [1:0] stage_valid_q;
  logic [1:0] stage_half_q;
  logic [1:0][CountBits-1:0] stage_row_q;
  logic [15:0] row_q;
  logic [47:0] offset_q;
  logic [RowBits-1:0] base_row;

  assign base_row = RowBits'(stage_row_q[1]);

  always_ff @(posedge clk_i) begin
    if (lookup) begin
      lookup_row_q <= lookup_row_q + 17'd1;
      lookup_left_q <= lookup_left_q - 17'd1;
      lookup_in_tile_q <= lookup_ends_tile ? '0 : lookup_in_tile_q + 1'b1;
      if (lookup_ends_tile) lookup_half_q <= ~lookup_half_q;
    end
    stage_valid_q <= {stage_valid_q[0], lookup};
    stage_half_q <= {stage_half_q[0], lookup_half_q};
    stage_row_q <= {stage_row_q[0], lookup_in_tile_q};
    row_q <= lookup_row_q[15:0];
    offset_q <= 48'(gather_i ? queue_token_i : row_q) * 48'(pitch_i);
    if (stage_valid_q[1]) begin
      bases[{stage_half_q[1], base_row}] <= 48'(address_i) + offset_q;
      ready_q[stage_half_q[1]] <= stage_row_q[1] + 1'b1;
    end
    if (issue_ends_tile) ready_q[issue_half_q] <= '0;
    tiles_ahead_q <= tiles_ahead_q + 2'(lookup_ends_tile) - 2'(issue_ends_tile);
    if (start_i) begin
      lookup_row_q <= '0;
      lookup_left_q <= rows_i;
    end
    if (!rst_ni || start_i) begin
      stage_valid_q <= '0;
      ready_q <= '0;
      tiles_ahead_q <= '0;
      lookup_half_q <= 1'b0;
      lookup_in_tile_q <= '0;
    end
    if (!rst_ni) lookup_left_q <= '0;
  end

  // --- requests ---

  logic [16:0] issue_left_q;  // rows of this tile and all later ones
  logic [CountBits-1:0] issue_row_q;
  logic [SlotBits:0] issue_word_q, allocated_q;
  logic issue, issue_ends_word;
  logic request_ends_word_q;
  logic [CountBits-1:0] request_row_q;
  logic [SlotBits-1:0] request_slot_q;
  logic [RowBits-1:0] issue_base_row;
  logic [47:0] address;

  assign issue_base_row = RowBits'(issue_row_q);
  assign address = bases[{issue_half_q, issue_base_row}] + 48'(issue_word_q);
  assign issue = issue_left_q != 0 && issue_row_q < ready_q[issue_half_q]
      && allocated_q - released_i != (SlotBits + 1)'(RingWords) && (!rd_valid_o || rd_ready_i);
  assign issue_ends_word = issue && (issue_row_q == LastRow || 17'(issue_row_q) == issue_left_q - 17'd1);
  assign issue_ends_tile = issue_ends_word && issue_word_q == words_i - 1'b1;

  always_ff @(posedge clk_i) begin
    if (rd_ready_i) rd_valid_o <= 1'b0;
    if (issue) begin
      rd_valid_o <= 1'b1;
      rd_address_o <= (address[47:32] != '0) ? '1 : address[31:0];
      request_row_q <= issue_row_q;
      request_slot_q <= allocated_q[SlotBits-1:0];
      request_ends_word_q <= issue_ends_word;
      issue_row_q <= issue_ends_word ? '0 : issue_row_q + 1'b1;
    end
    if (issue_ends_word) begin
      allocated_q <= allocated_q + 1'b1;
      issue_word_q <= issue_ends_tile ? '0 : issue_word_q + 1'b1;
    end
    if (issue_ends_tile) begin
      issue_half_q <= ~issue_half_q;
      issue_left_q <= (issue_left_q > 17'(TileRows)) ? issue_left_q - 17'(TileRows) : '0;
    end
    if (start_i) issue_left_q <= rows_i;
    if (!rst_ni || start_i) begin
      rd_valid_o <= 1'b0;
      issue_row_q <= '0;
      issue_word_q <= '0;
      issue_half_q <= 1'b0;
      allocated_q <= '0;
    end
    if (!rst_ni) issue_left_q <= '0;
  end

  // --- answers, two cycles after their grant ---

  logic [1:0][CountBits-1:0] answer_row_q;
  logic [1:0][SlotBits-1:0] answer_slot_q;
  logic [1:0] answer_ends_word_q;

  assign wr_enable_o = rd_data_valid_i;
  assign wr_row_o = answer_row_q[1];
  assign wr_slot_o = answer_slot_q[1];
  assign wr_data_o = rd_data_i;

  always_ff @(posedge clk_i) begin
    answer_row_q <= {answer_row_q[0], request_row_q};
    answer_slot_q <= {answer_slot_q[0], request_slot_q};
    answer_ends_word_q <= {answer_ends_word_q[0], request_ends_word_q};
    if (rd_data_valid_i && answer_ends_word_q[1]) filled_o <= filled_o + 1'b1;
    if (!rst_ni || start_i) filled_o <= '0;
  end

endmodule
