// The matmul unit with memories, row statistics and expert queues of its own, which the bench fills and dumps.
//
// Instructions are handed over as the issue queue does it: one with `overlap` while one other executes, another one only when
// none does. In every cycle each of the unit's stallable memory ports (act reads, act writes, weight write) is held up with
// probability stalls_i / 256. While a dump of the weight memory is on, the unit must be idle.
module matmul_bench #(
    parameter int unsigned TileRows = 4,
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth = 4,
    parameter int unsigned ActPorts = 2,
    parameter int unsigned ActBytes = 32768,
    parameter int unsigned ActBanks = 4,
    parameter int unsigned ActUltraBytes = 8192,
    parameter int unsigned SharedBytes   = 0,
    parameter int unsigned WeightBytes = 32768,
    parameter int unsigned RowEntries = 128,
    parameter int unsigned QueueTokens = 64,
    parameter int unsigned Experts = 4
) (
    input  logic                                    clk_i,
    input  logic                                    rst_ni,
    input  logic                                    instr_valid_i,
    output logic                                    instr_ready_o,
    input  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0]                            instr_i,
    output logic                                    done_o,
    output logic                                    fault_o,
    output logic [3:0]                              fault_cause_o,
    output logic                                    fault_older_o,
    input  logic [7:0]                              stalls_i,
    input  logic                                    counters_clear_i,
    output logic [31:0]                             array_count_o,
    output logic [31:0]                             operand_stall_count_o,
    output logic [31:0]                             drain_stall_count_o,
    // fill: act word, weight word, table beat, row scale and maximum, queue entry
    input  logic [31:0]                             fill_address_i,
    input  logic                                    act_fill_valid_i,
    input  logic [16*TileColumns-1:0]               act_fill_data_i,
    input  logic                                    weight_fill_valid_i,
    input  logic [8*TileColumns*TileDepth-1:0]      weight_fill_data_i,
    input  logic                                    table_fill_valid_i,
    output logic                                    table_fill_ready_o,
    input  logic [127:0]                            table_fill_data_i,
    output logic                                    table_fill_fault_o,
    input  logic                                    scale_fill_valid_i,
    input  logic [15:0]                             scale_fill_multiplier_i,
    input  logic [5:0]                              scale_fill_shift_i,
    input  logic                                    queue_clear_i,
    input  logic                                    queue_fill_valid_i,
    input  logic [$clog2(Experts)-1:0]              queue_fill_expert_i,
    input  logic [15:0]                             queue_fill_token_i,
    input  logic [15:0]                             queue_fill_score_i,
    // dump: answers in order; the row maximum one cycle after its address
    input  logic [31:0]                             dump_address_i,
    input  logic                                    act_dump_valid_i,
    output logic                                    act_dump_data_valid_o,
    output logic [16*TileColumns-1:0]               act_dump_data_o,
    input  logic                                    weight_dump_valid_i,
    output logic                                    weight_dump_data_valid_o,
    output logic [8*TileColumns*TileDepth-1:0]      weight_dump_data_o,
    output logic [15:0]                             row_maximum_o
);

  localparam int unsigned EntryBits = $clog2(RowEntries);

  // act reads, act writes, weight write
  localparam int unsigned Stallable = 3 * ActPorts + 1;

  logic [Stallable-1:0] stall_q;

  always_ff @(posedge clk_i) begin
    for (int s = 0; s < Stallable; s++) stall_q[s] <= 8'($urandom) < stalls_i;
  end

  // --- the issue queue ---

  moesaic_isa_pkg::header_t header;
  logic [1:0] in_flight_q, staying;
  logic unit_ready, allowed;

  assign header = instr_i;
  assign staying = in_flight_q - 2'(done_o);
  assign allowed = staying == '0 || (staying == 2'd1 && header.overlap);
  assign instr_ready_o = unit_ready && allowed;

  always_ff @(posedge clk_i) begin
    in_flight_q <= rst_ni ? staying + 2'(instr_valid_i && instr_ready_o) : '0;
  end

  // --- the unit ---

  logic array, operand_stall, drain_stall;
  logic [2*ActPorts-1:0] act_rd_valid, act_rd_ready, act_rd_data_valid;
  logic [2*ActPorts-1:0][31:0] act_rd_address;
  logic [ActPorts-1:0] act_wr_valid, act_wr_ready;
  logic weight_wr_valid, weight_wr_ready;
  logic [ActPorts-1:0][31:0] act_wr_address;
  logic [31:0] weight_wr_address, weight_rd_address;
  logic [ActPorts-1:0][16*TileColumns-1:0] act_wr_data;
  logic [ActPorts-1:0][2*TileColumns-1:0] act_wr_strobe;
  logic [8*TileColumns*TileDepth-1:0] weight_wr_data;
  logic [TileColumns*TileDepth-1:0] weight_wr_strobe;
  logic weight_rd_valid, weight_rd_fault, weight_data_valid;
  localparam int unsigned WeightCycles = moesaic_memory_pkg::WEIGHT_READ_CYCLES;
  logic [WeightCycles-1:0] weight_dump_q;
  logic [ActPorts-1:0] max_we;
  logic [ActPorts-1:0][EntryBits-1:0] max_wr_address, scale_rd_address;
  logic [ActPorts-1:0][15:0] max_wr_data, scale_multiplier;
  logic [ActPorts-1:0][5:0] scale_shift;
  logic [Experts-1:0][16:0] queue_count;
  logic [$clog2(Experts)-1:0] queue_rd_expert;
  logic [$clog2(QueueTokens)-1:0] queue_rd_index;
  logic [15:0] queue_rd_token, queue_rd_score;

  // --- the memories ---

  logic [2*ActPorts:0] rd_valid, rd_ready, rd_data_valid, rd_fault;
  logic [2*ActPorts:0][31:0] rd_address;
  logic [2*ActPorts:0][16*TileColumns-1:0] rd_data;
  logic [ActPorts:0] wr_ready, wr_fault;
  logic [1:0] weight_ready, weight_fault;
  logic [2*ActPorts-1:0] rd_stall;
  logic [ActPorts-1:0] wr_stall;
  logic weight_stall;

  assign {weight_stall, wr_stall, rd_stall} = stall_q;
  assign rd_valid = {act_dump_valid_i, act_rd_valid & ~rd_stall};
  assign rd_address = {dump_address_i, act_rd_address};
  assign act_rd_ready = rd_ready[2*ActPorts-1:0] & ~rd_stall;
  assign act_rd_data_valid = rd_data_valid[2*ActPorts-1:0];
  assign act_dump_data_valid_o = rd_data_valid[2*ActPorts];
  assign act_dump_data_o = rd_data[2*ActPorts];
  assign act_wr_ready = wr_ready[ActPorts-1:0] & ~wr_stall;
  assign weight_wr_ready = weight_ready[0] && !weight_stall;
  assign weight_dump_data_valid_o = weight_data_valid && weight_dump_q[WeightCycles-1];

  moesaic_matmul #(
      .TileRows   (TileRows),
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth),
      .ActPorts   (ActPorts),
      .RowEntries (RowEntries),
      .QueueTokens(QueueTokens),
      .Experts    (Experts)
  ) u_matmul (
      .clk_i,
      .rst_ni,
      .instr_valid_i         (instr_valid_i && allowed),
      .instr_ready_o         (unit_ready),
      .instr_i,
      .done_o,
      .fault_o,
      .fault_cause_o,
      .fault_older_o,
      .array_o               (array),
      .operand_stall_o       (operand_stall),
      .drain_stall_o         (drain_stall),
      .act_rd_valid_o        (act_rd_valid),
      .act_rd_ready_i        (act_rd_ready),
      .act_rd_address_o      (act_rd_address),
      .act_rd_data_valid_i   (act_rd_data_valid),
      .act_rd_data_i         (rd_data[2*ActPorts-1:0]),
      .act_rd_fault_i        (rd_fault[2*ActPorts-1:0]),
      .act_wr_valid_o        (act_wr_valid),
      .act_wr_ready_i        (act_wr_ready),
      .act_wr_address_o      (act_wr_address),
      .act_wr_data_o         (act_wr_data),
      .act_wr_strobe_o       (act_wr_strobe),
      .act_wr_fault_i        (wr_fault[ActPorts-1:0]),
      .weight_rd_valid_o     (weight_rd_valid),
      .weight_rd_address_o   (weight_rd_address),
      .weight_rd_data_valid_i(weight_data_valid && !weight_dump_q[WeightCycles-1]),
      .weight_rd_data_i      (weight_dump_data_o),
      .weight_rd_fault_i     (weight_rd_fault),
      .weight_wr_valid_o     (weight_wr_valid),
      .weight_wr_ready_i     (weight_wr_ready),
      .weight_wr_address_o   (weight_wr_address),
      .weight_wr_data_o      (weight_wr_data),
      .weight_wr_strobe_o    (weight_wr_strobe),
      .weight_wr_fault_i     (weight_fault[0]),
      .table_wr_valid_i      (table_fill_valid_i),
      .table_wr_ready_o      (table_fill_ready_o),
      .table_wr_address_i    (fill_address_i),
      .table_wr_data_i       (table_fill_data_i),
      .table_wr_fault_o      (table_fill_fault_o),
      .max_we_o              (max_we),
      .max_wr_address_o      (max_wr_address),
      .max_wr_data_o         (max_wr_data),
      .scale_rd_address_o    (scale_rd_address),
      .scale_rd_multiplier_i (scale_multiplier),
      .scale_rd_shift_i      (scale_shift),
      .queue_count_i         (queue_count),
      .queue_rd_expert_o     (queue_rd_expert),
      .queue_rd_index_o      (queue_rd_index),
      .queue_rd_token_i      (queue_rd_token),
      .queue_rd_score_i      (queue_rd_score)
  );

  logic shared_rd_valid, shared_wr_valid;
  logic [31:0] shared_rd_address, shared_wr_address;
  logic [8*TileColumns*TileDepth-1:0] shared_rd_data, shared_wr_data;
  logic [TileColumns*TileDepth-1:0] shared_wr_strobe;

  moesaic_act_memory #(
      .TileColumns  (TileColumns),
      .ActBytes     (ActBytes),
      .ActBanks     (ActBanks),
      .ActUltraBytes(ActUltraBytes),
      .SharedBytes  (SharedBytes),
      .WideWords    (TileDepth / 2),
      .NumReads     (2 * ActPorts + 1),
      .NumWrites    (ActPorts + 1)
  ) u_act (
      .clk_i,
      .rst_ni,
      .rd_valid_i     (rd_valid),
      .rd_ready_o     (rd_ready),
      .rd_address_i   (rd_address),
      .rd_data_valid_o(rd_data_valid),
      .rd_data_o      (rd_data),
      .rd_fault_o     (rd_fault),
      .wr_valid_i     ({act_fill_valid_i, act_wr_valid & ~wr_stall}),
      .wr_ready_o     (wr_ready),
      .wr_address_i   ({fill_address_i, act_wr_address}),
      .wr_data_i      ({act_fill_data_i, act_wr_data}),
      .wr_strobe_i    ({{2 * TileColumns{1'b1}}, act_wr_strobe}),
      .wr_fault_o     (wr_fault),
      .wide_rd_valid_i  (shared_rd_valid),
      .wide_rd_address_i(shared_rd_address),
      .wide_rd_data_o   (shared_rd_data),
      .wide_wr_valid_i  (shared_wr_valid),
      .wide_wr_address_i(shared_wr_address),
      .wide_wr_data_i   (shared_wr_data),
      .wide_wr_strobe_i (shared_wr_strobe)
  );

  moesaic_weight_memory #(
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth),
      .WeightBytes(WeightBytes),
      .SharedBytes(SharedBytes)
  ) u_weight (
      .clk_i,
      .rst_ni,
      .rd_valid_i     (weight_rd_valid || weight_dump_valid_i),
      .rd_address_i   (weight_dump_valid_i ? dump_address_i : weight_rd_address),
      .rd_data_valid_o(weight_data_valid),
      .rd_data_o      (weight_dump_data_o),
      .rd_fault_o     (weight_rd_fault),
      .wr_valid_i     ({weight_fill_valid_i, weight_wr_valid && !weight_stall}),
      .wr_ready_o     (weight_ready),
      .wr_address_i   ({fill_address_i, weight_wr_address}),
      .wr_data_i      ({weight_fill_data_i, weight_wr_data}),
      .wr_strobe_i    ({{TileColumns * TileDepth{1'b1}}, weight_wr_strobe}),
      .wr_fault_o     (weight_fault),
      .shared_rd_valid_o  (shared_rd_valid),
      .shared_rd_address_o(shared_rd_address),
      .shared_rd_data_i   (shared_rd_data),
      .shared_wr_valid_o  (shared_wr_valid),
      .shared_wr_address_o(shared_wr_address),
      .shared_wr_data_o   (shared_wr_data),
      .shared_wr_strobe_o (shared_wr_strobe)
  );

  moesaic_row_statistics #(
      .RowEntries(RowEntries),
      .ActPorts  (ActPorts)
  ) u_statistics (
      .clk_i,
      .max_we_i             (max_we),
      .max_wr_address_i     (max_wr_address),
      .max_wr_data_i        (max_wr_data),
      .max_rd_address_i     (EntryBits'(dump_address_i)),
      .max_rd_data_o        (row_maximum_o),
      .scale_we_i           (scale_fill_valid_i),
      .scale_wr_address_i   (EntryBits'(fill_address_i)),
      .scale_wr_multiplier_i(scale_fill_multiplier_i),
      .scale_wr_shift_i     (scale_fill_shift_i),
      .scale_rd_address_i   (scale_rd_address),
      .scale_rd_multiplier_o(scale_multiplier),
      .scale_rd_shift_o     (scale_shift)
  );

  moesaic_expert_queue #(
      .Experts    (Experts),
      .QueueTokens(QueueTokens)
  ) u_queue (
      .clk_i,
      .rst_ni,
      .clear_i      (queue_clear_i),
      .next_valid_i (1'b0),
      .next_token_i ('0),
      .next_token_o (),
      .push_valid_i (queue_fill_valid_i),
      .push_expert_i(queue_fill_expert_i),
      .push_token_i (queue_fill_token_i),
      .push_score_i (queue_fill_score_i),
      .count_o      (queue_count),
      .rd_expert_i  (queue_rd_expert),
      .rd_index_i   (queue_rd_index),
      .rd_token_o   (queue_rd_token),
      .rd_score_o   (queue_rd_score)
  );

  always_ff @(posedge clk_i) begin
    weight_dump_q <= {weight_dump_q[WeightCycles-2:0], weight_dump_valid_i};
    if (counters_clear_i) begin
      array_count_o <= '0;
      operand_stall_count_o <= '0;
      drain_stall_count_o <= '0;
    end else begin
      array_count_o <= array_count_o + 32'(array);
      operand_stall_count_o <= operand_stall_count_o + 32'(operand_stall);
      drain_stall_count_o <= drain_stall_count_o + 32'(drain_stall);
    end
  end

  // The bench fills and dumps only while the unit is idle.
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      weight_dump_is_alone: assert (!weight_rd_valid || !weight_dump_valid_i);
      act_dump_never_refused: assert (rd_ready[2*ActPorts] || !act_dump_valid_i);
      act_fill_never_refused: assert (wr_ready[ActPorts] || !act_fill_valid_i);
      weight_fill_never_refused: assert (weight_ready[1] || !weight_fill_valid_i);
      bench_stays_inside: assert (!(rd_fault[2*ActPorts] || wr_fault[ActPorts] || weight_fault[1]));
    end
  end

endmodule
