// The softmax half of the vector unit: unnormalised probabilities in one pass, TileColumns scores per cycle.
//
// The row maxima were left by matmul, so a score is read once: distance from the maximum, 2**(-distance), probability 0..127,
// write. The sum of a row's probabilities runs through a pipelined reciprocal into the row statistics while the next rows
// stream. Reads are granted as long as the output queue has room for all that is in flight.
module softmax #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned RowEntries  = 128
) (
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         instr_valid_i,
    output logic         instr_ready_o,
    input  logic [511:0] instr_i,
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
    output logic                      act_wr_valid_o,
    input  logic                      act_wr_ready_i,
    output logic [31:0]               act_wr_address_o,
    output logic [16*TileColumns-1:0] act_wr_data_o,
    output logic [2*TileColumns-1:0]  act_wr_strobe_o,
    input  logic                      act_wr_fault_i,

    output logic [$clog2(RowEntries)-1:0] max_rd_address_o,
    input  logic [15:0]                   max_rd_data_i,
    output logic                          scale_we_o,
    output logic [$clog2(RowEntries)-1:0] scale_wr_address_o,
    output logic [15:0]                   scale_wr_multiplier_o,
    output logic [5:0]                    scale_wr_shift_o
);

  localparam int unsigned HalfShift   = $clog2(TileColumns);
  localparam int unsigned WordShift   = HalfShift + 1;
  localparam int unsigned RowBits     = $clog2(RowEntries);
  localparam int unsigned OutputWords = 16;    // in flight at most; the pipeline alone holds 7
  localparam int unsigned SumWidth    = 23;    // 65,535 * 127 < 2**23
  localparam int unsigned Quarters    = TileColumns / 4;

  isa_pkg::softmax_t instr;
  assign instr = instr_i;

  logic busy_q, faulted_q, fault_q, done_q;
  logic [3:0] cause_q;
  logic accept, bad, outside, start, memory_fault, finished;

  assign accept       = instr_valid_i && instr_ready_o;
  assign bad          = instr.columns == '0;
  assign outside      = 17'(instr.row_base) + 17'(instr.rows) > 17'(RowEntries);
  assign start        = accept && !bad && !outside;
  assign memory_fault = act_rd_fault_i || act_wr_fault_i;

  assign instr_ready_o = !busy_q && !faulted_q && !done_q;
  assign done_o        = done_q;
  assign fault_o       = fault_q;
  assign fault_cause_o = cause_q;
  assign busy_o        = busy_q;

  always_ff @(posedge clk_i) begin
    done_q  <= 1'b0;
    fault_q <= 1'b0;
    if (accept) begin
      busy_q <= 1'b1;
      if (bad || outside) begin
        busy_q    <= 1'b0;
        faulted_q <= 1'b1;
        fault_q   <= 1'b1;
        cause_q   <= bad ? isa_pkg::FAULT_BAD_INSTRUCTION : isa_pkg::FAULT_ADDRESS;
      end
    end else if (busy_q && memory_fault) begin
      busy_q    <= 1'b0;
      faulted_q <= 1'b1;
      fault_q   <= 1'b1;
      cause_q   <= isa_pkg::FAULT_ADDRESS;
    end else if (busy_q && finished) begin
      busy_q <= 1'b0;
      done_q <= 1'b1;
    end
    if (!rst_ni) begin
      busy_q    <= 1'b0;
      faulted_q <= 1'b0;
      fault_q   <= 1'b0;
      done_q    <= 1'b0;
    end
  end

  // Shape of the instruction.
  logic [15:0] last_word_q;            // index of a row's last word
  logic [TileColumns-1:0] last_mask_q; // its valid lanes
  logic [15:0] last_row_q;
  logic [RowBits-1:0] row_base_q;

  always_ff @(posedge clk_i) begin
    if (start) begin
      last_word_q <= (instr.columns - 16'd1) >> HalfShift;
      last_row_q  <= instr.rows - 16'd1;
      row_base_q  <= RowBits'(instr.row_base);
      for (int l = 0; l < int'(TileColumns); l++) begin
        last_mask_q[l] <= HalfShift'(instr.columns - 16'd1) >= HalfShift'(l);
      end
    end
  end

  // Read requests.
  logic reading_q;
  logic [15:0] rd_row_q, rd_word_q;
  logic [31:0] rd_row_address;
  logic [$clog2(OutputWords):0] in_flight_q;
  logic rd_grant, rd_row_end, wr_grant;

  assign act_rd_valid_o   = reading_q && in_flight_q != ($clog2(OutputWords) + 1)'(OutputWords);
  assign act_rd_address_o = rd_row_address + 32'(rd_word_q);
  assign rd_grant         = act_rd_valid_o && act_rd_ready_i;
  assign rd_row_end       = rd_word_q == last_word_q;

  row_address u_source (
      .clk_i,
      .start_i  (start),
      .base_i   (instr.source_address >> WordShift),
      .pitch_i  (instr.source_pitch >> WordShift),
      .next_i   (rd_grant && rd_row_end),
      .address_o(rd_row_address)
  );

  always_ff @(posedge clk_i) begin
    if (start) begin
      reading_q <= instr.rows != '0;
      rd_row_q  <= '0;
      rd_word_q <= '0;
    end else if (rd_grant) begin
      rd_word_q <= rd_row_end ? '0 : rd_word_q + 16'd1;
      if (rd_row_end) begin
        rd_row_q <= rd_row_q + 16'd1;
        if (rd_row_q == last_row_q) reading_q <= 1'b0;
      end
    end
    if (!rst_ni) reading_q <= 1'b0;
    if (!rst_ni || start) in_flight_q <= '0;
    else if (rd_grant != wr_grant) in_flight_q <= rd_grant ? in_flight_q + 1'b1 : in_flight_q - 1'b1;
  end

  // The maximum is looked up one cycle after the grant, so it arrives with the scores, two cycles after the grant.
  logic [RowBits-1:0] max_row_q;
  logic [2:1] rd_last_q;
  assign max_rd_address_o = max_row_q;

  always_ff @(posedge clk_i) begin
    max_row_q <= row_base_q + RowBits'(rd_row_q);
    rd_last_q <= {rd_last_q[1], rd_row_end};
  end

  // Distances: a lane beyond the row is as far away as can be, which gives probability 0.
  logic [TileColumns-1:0][15:0] distance, distance_q;
  logic [TileColumns-1:0][16:0] difference;
  always_comb begin
    for (int l = 0; l < int'(TileColumns); l++) begin
      difference[l] = 17'($signed(max_rd_data_i)) - 17'($signed(act_rd_data_i[16*l+:16]));
      distance[l]   = difference[l][16] ? '0 : difference[l][15:0];
      if (rd_last_q[2] && !last_mask_q[l]) distance[l] = '1;
    end
  end

  logic [TileColumns-1:0][16:0] exponential;
  exp2 #(.Lanes(TileColumns)) u_exp2 (.clk_i, .distance_i(distance_q), .exponential_o(exponential));

  // Stages: 3 distance, 4 and 5 exponential, 6 probability, 7 sums of four, 8 sum of the word, 9 sum of the row.
  logic [9:3] valid_q, last_q;
  logic [TileColumns-1:0][6:0] probability_q;
  logic [Quarters-1:0][8:0] quarter_q;
  logic [12:0] word_sum, word_sum_q;
  logic [SumWidth-1:0] row_sum_q;
  logic row_first_q;

  always_comb begin
    word_sum = '0;
    for (int g = 0; g < int'(Quarters); g++) word_sum = word_sum + 13'(quarter_q[g]);
  end

  always_ff @(posedge clk_i) begin
    last_q     <= {last_q[8:3], rd_last_q[2]};
    distance_q <= distance;
    for (int l = 0; l < int'(TileColumns); l++) begin
      probability_q[l] <= 7'((24'(exponential[l]) * 24'd127 + 24'h8000) >> 16);
    end
    for (int g = 0; g < int'(Quarters); g++) begin
      quarter_q[g] <= 9'(probability_q[4*g]) + 9'(probability_q[4*g+1]) + 9'(probability_q[4*g+2]) + 9'(probability_q[4*g+3]);
    end
    word_sum_q <= word_sum;
    if (valid_q[8]) begin
      row_sum_q   <= (row_first_q ? '0 : row_sum_q) + SumWidth'(word_sum_q);
      row_first_q <= last_q[8];
    end
    if (!rst_ni) begin
      valid_q     <= '0;
      row_first_q <= 1'b1;
    end else begin
      valid_q <= {valid_q[8:3], act_rd_data_valid_i && busy_q};
    end
  end

  // Row statistics.
  logic [5:0] sum_bits;
  logic scaling_q;
  logic [15:0] scale_row_q;

  reciprocal #(
      .Width(SumWidth)
  ) u_reciprocal (
      .clk_i,
      .rst_ni,
      .valid_i   (valid_q[9] && last_q[9]),
      .value_i   (row_sum_q),
      .valid_o   (scale_we_o),
      .mantissa_o(scale_wr_multiplier_o),
      .bits_o    (sum_bits)
  );

  assign scale_wr_shift_o   = sum_bits + 6'd15;
  assign scale_wr_address_o = row_base_q + RowBits'(scale_row_q);

  always_ff @(posedge clk_i) begin
    if (start) begin
      scaling_q   <= instr.rows != '0;
      scale_row_q <= '0;
    end else if (scale_we_o) begin
      scale_row_q <= scale_row_q + 16'd1;
      if (scale_row_q == last_row_q) scaling_q <= 1'b0;
    end
    if (!rst_ni) scaling_q <= 1'b0;
  end

  // Writes: half a word per word read.
  logic writing_q;
  logic [15:0] wr_row_q, wr_word_q;
  logic [31:0] wr_row_address, wr_half_address;
  logic [TileColumns-1:0][6:0] wr_probability;
  logic queue_ready, wr_row_end;

  fifo #(
      .Width(7 * TileColumns),
      .Depth(OutputWords)
  ) u_output (
      .clk_i,
      .rst_ni,
      .valid_i(valid_q[6]),
      .ready_o(queue_ready),
      .data_i (probability_q),
      .valid_o(act_wr_valid_o),
      .ready_i(act_wr_ready_i),
      .data_o (wr_probability)
  );

  row_address u_destination (
      .clk_i,
      .start_i  (start),
      .base_i   (instr.destination_address >> HalfShift),
      .pitch_i  (instr.destination_pitch >> HalfShift),
      .next_i   (wr_grant && wr_row_end),
      .address_o(wr_row_address)
  );

  assign wr_grant         = act_wr_valid_o && act_wr_ready_i;
  assign wr_row_end       = wr_word_q == last_word_q;
  assign wr_half_address  = wr_row_address + 32'(wr_word_q);
  assign act_wr_address_o = wr_half_address >> 1;
  assign act_wr_strobe_o  = {{TileColumns{wr_half_address[0]}}, {TileColumns{~wr_half_address[0]}}};

  always_comb begin
    for (int l = 0; l < int'(TileColumns); l++) begin
      act_wr_data_o[8*l+:8]               = {1'b0, wr_probability[l]};
      act_wr_data_o[8*(TileColumns+l)+:8] = {1'b0, wr_probability[l]};
    end
  end

  always_ff @(posedge clk_i) begin
    if (start) begin
      writing_q <= instr.rows != '0;
      wr_row_q  <= '0;
      wr_word_q <= '0;
    end else if (wr_grant) begin
      wr_word_q <= wr_row_end ? '0 : wr_word_q + 16'd1;
      if (wr_row_end) begin
        wr_row_q <= wr_row_q + 16'd1;
        if (wr_row_q == last_row_q) writing_q <= 1'b0;
      end
    end
    if (!rst_ni) writing_q <= 1'b0;
  end

  // A write's fault shows in the cycle after its grant, the first in which finished can be true.
  assign finished = !reading_q && !writing_q && !scaling_q;

`ifndef SYNTHESIS
  // Registers start with anything, so nothing is checked before the first reset.
  logic reset_seen_q;
  initial reset_seen_q = 1'b0;
  always @(posedge clk_i) begin
    if (!rst_ni) reset_seen_q <= 1'b1;
    if (rst_ni && reset_seen_q) assert (!valid_q[6] || queue_ready) else $error("softmax: output queue overflow");
  end
`endif

  logic unused;
  assign unused = &{1'b0, instr.unused_304, instr.tag, instr.unused_89, instr.signal_mask, instr.unused_57, instr.wait_mask,
                    instr.unused_8, instr.opcode, queue_ready};

endmodule
