// The softmax half of the vector unit: unnormalised probabilities in one pass, ActPorts * TileColumns scores per cycle.
//
// The row maxima were left by matmul, so a score is read once: distance from the maximum, 2**(-distance), probability 0..127,
// write. The sum of a row's probabilities runs through a pipelined reciprocal into the row statistics while the next rows
// stream. Steps are taken as long as the output queue has room for all that is in flight.
module moesaic_softmax #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned ActPorts    = 2,
    parameter int unsigned RowEntries  = 128
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

    // an answer stays until the next one of its port
    output logic [ActPorts-1:0]                     act_rd_valid_o,
    input  logic [ActPorts-1:0]                     act_rd_ready_i,
    output logic [ActPorts-1:0][31:0]               act_rd_address_o,
    input  logic [ActPorts-1:0]                     act_rd_data_valid_i,
    input  logic [ActPorts-1:0][16*TileColumns-1:0] act_rd_data_i,
    input  logic [ActPorts-1:0]                     act_rd_fault_i,
    output logic                                    act_wr_valid_o,
    input  logic                                    act_wr_ready_i,
    output logic [31:0]                             act_wr_address_o,
    output logic [16*TileColumns-1:0]               act_wr_data_o,
    output logic [2*TileColumns-1:0]                act_wr_strobe_o,
    input  logic                                    act_wr_fault_i,

    output logic [$clog2(RowEntries)-1:0] max_rd_address_o,
    input  logic [15:0]                   max_rd_data_i,
    output logic                          scale_we_o,
    output logic [$clog2(RowEntries)-1:0] scale_wr_address_o,
    output logic [15:0]                   scale_wr_multiplier_o,
    output logic [5:0]                    scale_wr_shift_o
);

  localparam int unsigned Lanes       = ActPorts * TileColumns;
  localparam int unsigned LaneShift   = $clog2(Lanes);
  localparam int unsigned WordShift   = $clog2(2 * TileColumns);
  localparam int unsigned RowBits     = $clog2(RowEntries);
  localparam int unsigned OutputSteps = 32;    // in flight at most; requests and pipeline alone hold 11
  localparam int unsigned SumWidth    = 23;    // 65,535 * 127 < 2**23
  localparam int unsigned Quads       = Lanes / 4;
  localparam int unsigned Parts       = (Quads + 3) / 4;
  // 1/64 of what is added before the fraction of a probability is dropped is this times its column: ordered dithering by multiples
  // of the golden ratio, which keeps the sum of many small probabilities.
  localparam int unsigned Golden      = 39;

  moesaic_isa_pkg::softmax_t instr;
  assign instr = instr_i;

  logic outside, start, busy, finished;

  assign outside = 17'(instr.row_base) + 17'(instr.rows) > 17'(RowEntries);
  assign busy_o  = busy;

  moesaic_unit_state u_state (
      .clk_i,
      .rst_ni,
      .instr_valid_i,
      .instr_ready_o,
      .outside_i     (outside),
      .memory_fault_i(act_rd_fault_i != '0 || act_wr_fault_i),
      .finished_i    (finished),
      .start_o       (start),
      .busy_o        (busy),
      .done_o,
      .fault_o,
      .fault_cause_o
  );

  // Shape of the instruction.
  logic [15:0] last_step_q;      // index of a row's last step
  logic [Lanes-1:0] last_mask_q; // its valid lanes
  logic [ActPorts-1:0] last_words;
  logic [15:0] last_row_q;
  logic [RowBits-1:0] row_base_q;

  always_ff @(posedge clk_i) begin
    if (start) begin
      last_step_q <= (instr.columns - 16'd1) >> LaneShift;
      last_row_q  <= instr.rows - 16'd1;
      row_base_q  <= RowBits'(instr.row_base);
      for (int l = 0; l < int'(Lanes); l++) begin
        last_mask_q[l] <= LaneShift'(instr.columns - 16'd1) >= LaneShift'(l);
      end
    end
  end

  for (genvar p = 0; p < ActPorts; p++) begin : gen_last_words
    assign last_words[p] = last_mask_q[p*TileColumns];
  end

  // Read requests: the words of a step are granted one by one, the scores of a step are there with the last of them.
  logic reading_q, ask_ready, ask, row_end, step, step_row_end, wr_granted;
  logic [15:0] row_q, step_q;
  logic [RowBits-1:0] step_row;
  logic [ActPorts-1:0][31:0] rd_address_q;
  logic [31:0] next_row;
  logic [$clog2(OutputSteps):0] in_flight_q;

  assign row_end = step_q == last_step_q;
  assign ask     = reading_q && ask_ready && in_flight_q != ($clog2(OutputSteps) + 1)'(OutputSteps);

  moesaic_port_buffer #(
      .Width($bits({act_rd_address_o, step_row, step_row_end})),
      .Ports(ActPorts)
  ) u_request (
      .clk_i,
      .rst_ni,
      .valid_i     (ask),
      .ready_o     (ask_ready),
      .ports_i     (row_end ? last_words : '1),
      .data_i      ({rd_address_q, RowBits'(row_q), row_end}),
      .port_valid_o(act_rd_valid_o),
      .port_ready_i(act_rd_ready_i),
      .data_o      ({act_rd_address_o, step_row, step_row_end}),
      .leaves_o    (step)
  );

  moesaic_row_address u_source (
      .clk_i,
      .start_i  (start),
      .base_i   (instr.source_address >> WordShift),
      .pitch_i  (instr.source_pitch >> WordShift),
      .next_i   (ask && row_end),
      .next_o   (next_row)
  );

  always_ff @(posedge clk_i) begin
    if (start) begin
      reading_q <= instr.rows != '0;
      row_q     <= '0;
      step_q    <= '0;
    end else if (ask) begin
      step_q <= row_end ? '0 : step_q + 16'd1;
      if (row_end) begin
        row_q <= row_q + 16'd1;
        if (row_q == last_row_q) reading_q <= 1'b0;
      end
    end
    for (int p = 0; p < int'(ActPorts); p++) begin
      if (start) rd_address_q[p] <= (instr.source_address >> WordShift) + 32'(p);
      else if (ask) rd_address_q[p] <= row_end ? next_row + 32'(p) : rd_address_q[p] + 32'(ActPorts);
    end
    if (!rst_ni) reading_q <= 1'b0;
    if (!rst_ni || start) in_flight_q <= '0;
    else if (ask != wr_granted) in_flight_q <= ask ? in_flight_q + 1'b1 : in_flight_q - 1'b1;
  end

  // The maximum is looked up one cycle after the step, so it arrives with the scores.
  logic [RowBits-1:0] max_row_q;
  assign max_rd_address_o = max_row_q;
  always_ff @(posedge clk_i) max_row_q <= row_base_q + step_row;

  // Stages: Scores, then 1 distance, 2 and 3 exponential, 4 probability, 5 sums of four, 6 of sixteen, 7 of the step, 8 of the row.
  localparam int unsigned Scores = moesaic_memory_pkg::ACT_READ_CYCLES;
  logic [Scores+8:1] valid_q, last_q;

  if (moesaic_memory_pkg::MAXIMUM_READ_CYCLES + 1 != Scores) begin : gen_latency
    $fatal(1, "softmax: a maximum arrives %0d cycles after its step, it must be %0d, with the scores",
           moesaic_memory_pkg::MAXIMUM_READ_CYCLES + 1, Scores);
  end

  always_ff @(posedge clk_i) begin
    last_q <= {last_q[Scores+7:1], step_row_end};
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[Scores+7:1], step};
  end

  // A lane beyond the row is as far away as can be, which gives probability 0.
  logic [Lanes-1:0][15:0] score, distance, distance_q;
  logic [Lanes-1:0][16:0] difference;
  assign score = act_rd_data_i;

  always_comb begin
    for (int l = 0; l < int'(Lanes); l++) begin
      difference[l] = {max_rd_data_i[15], max_rd_data_i} - {score[l][15], score[l]};
      distance[l]   = difference[l][16] ? '0 : difference[l][15:0];
      if (last_q[Scores] && !last_mask_q[l]) distance[l] = '1;
    end
  end

  logic [Lanes-1:0][16:0] exponential;
  moesaic_exp2 #(.Lanes(Lanes)) u_exp2 (.clk_i, .distance_i(distance_q), .exponential_o(exponential));

  logic [Lanes-1:0][7:0] probability_q;
  logic [Quads-1:0][8:0] quad_q;
  logic [Parts-1:0][10:0] part, part_q;
  logic [12:0] step_sum, step_sum_q;
  logic [SumWidth-1:0] row_sum_q;
  logic row_first_q;

  // Of lane 0, and of each lane. With 64 lanes a lane's is always the same.
  logic [5:0] phase_q;
  logic [Lanes-1:0][5:0] phase;

  for (genvar l = 0; l < Lanes; l++) begin : gen_phase
    assign phase[l] = phase_q + 6'(Golden * l);
  end

  always_comb begin
    part = '0;
    for (int g = 0; g < int'(Quads); g++) part[g/4] = part[g/4] + 11'(quad_q[g]);
    step_sum = '0;
    for (int g = 0; g < int'(Parts); g++) step_sum = step_sum + 13'(part_q[g]);
  end

  always_ff @(posedge clk_i) begin
    distance_q <= distance;
    for (int l = 0; l < int'(Lanes); l++) begin
      // 127 times the exponential, without a multiplier
      probability_q[l] <= 8'(({exponential[l], 7'h0} + {8'd0, phase[l], 1'b1, 9'd0} - 24'(exponential[l])) >> 16);
    end
    if (!rst_ni) phase_q <= '0;
    else if (valid_q[Scores+3]) phase_q <= last_q[Scores+3] ? '0 : phase_q + 6'(Golden * Lanes);
    for (int g = 0; g < int'(Quads); g++) begin
      quad_q[g] <= 9'(probability_q[4*g]) + 9'(probability_q[4*g+1]) + 9'(probability_q[4*g+2]) + 9'(probability_q[4*g+3]);
    end
    part_q     <= part;
    step_sum_q <= step_sum;
    if (valid_q[Scores+7]) begin
      row_sum_q   <= (row_first_q ? '0 : row_sum_q) + SumWidth'(step_sum_q);
      row_first_q <= last_q[Scores+7];
    end
    if (!rst_ni) row_first_q <= 1'b1;
  end

  // Row statistics.
  logic [5:0] sum_bits;
  logic scaling_q;
  logic [15:0] scale_row_q;

  moesaic_reciprocal #(
      .Width(SumWidth)
  ) u_reciprocal (
      .clk_i,
      .rst_ni,
      .valid_i   (valid_q[Scores+8] && last_q[Scores+8]),
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

  logic queue_ready, writing;

  moesaic_row_writer #(
      .TileColumns(TileColumns),
      .Groups     (ActPorts),
      .Depth      (OutputSteps)
  ) u_writer (
      .clk_i,
      .rst_ni,
      .start_i      (start),
      .rows_i       (instr.rows),
      .address_i    (instr.destination_address),
      .pitch_i      (instr.destination_pitch),
      .last_step_i  (last_step_q),
      .last_groups_i(last_words),
      .valid_i      (valid_q[Scores+4]),
      .ready_o      (queue_ready),
      .data_i       (probability_q),
      .active_o     (writing),
      .granted_o    (wr_granted),
      .act_wr_valid_o,
      .act_wr_ready_i,
      .act_wr_address_o,
      .act_wr_data_o,
      .act_wr_strobe_o
  );

  // A write's fault shows in the cycle after its grant, the first in which finished can be true.
  assign finished = !reading_q && !writing && !scaling_q;

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      steps_in_flight_in_range: assert (in_flight_q <= ($clog2(OutputSteps) + 1)'(OutputSteps));
      output_never_refused: assert (queue_ready || !valid_q[Scores+4]);
      scores_come_with_their_step: assert (act_rd_data_valid_i != '0 || !valid_q[Scores]);
      every_scale_has_its_row: assert (scaling_q || !scale_we_o);
    end
  end
`endif

endmodule
