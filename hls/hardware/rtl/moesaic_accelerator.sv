// The accelerator: fetch and one issue queue per unit, five units, the memories between them, and the control port.
// AXI4 masters, 128 bits wide: LoadPorts for the load unit, and `main` for instructions (reads) and results (writes).
module moesaic_accelerator #(
    parameter int unsigned TileRows         = 4,
    parameter int unsigned TileColumns      = 8,
    parameter int unsigned TileDepth        = 4,
    parameter int unsigned NormLanes        = 4,
    parameter int unsigned ActPorts         = 2,
    parameter int unsigned LoadPorts        = 3,
    parameter int unsigned ActBytes         = 131072,
    parameter int unsigned ActBanks         = 4,
    parameter int unsigned ActUltraBytes    = 32768,
    parameter int unsigned SharedBytes      = 32768,
    parameter int unsigned WeightBytes      = 131072,
    parameter bit          WeightUltra      = 1'b1,
    parameter int unsigned RowEntries       = 128,
    parameter int unsigned QueueTokens      = 128,
    parameter int unsigned Experts          = 16,
    parameter int unsigned InstructionQueue = 8,
    parameter logic [63:0] Fingerprint      = 64'd0
) (
    input  logic clk_i,
    input  logic rst_ni,
    output logic irq_o,

    input  moesaic_axi_pkg::lite_request_t  s_axi_control_i,
    output moesaic_axi_pkg::lite_response_t s_axi_control_o,

    output logic [LoadPorts-1:0][moesaic_axi_pkg::READ_REQUEST_BITS-1:0]  m_axi_load_o,
    input  logic [LoadPorts-1:0][moesaic_axi_pkg::READ_RESPONSE_BITS-1:0] m_axi_load_i,

    output moesaic_axi_pkg::read_request_t   m_axi_main_read_o,
    input  moesaic_axi_pkg::read_response_t  m_axi_main_read_i,
    output moesaic_axi_pkg::write_request_t  m_axi_main_write_o,
    input  moesaic_axi_pkg::write_response_t m_axi_main_write_i
);

  localparam int unsigned Units      = moesaic_isa_pkg::UNITS;
  // Clients of the activation memory.
  localparam int ReadOperand  = 0;                        // ActPorts each: matmul operand, matmul residual, vector
  localparam int ReadVector   = 2 * int'(ActPorts);
  localparam int ReadRoute    = 3 * int'(ActPorts);
  localparam int ReadStore    = ReadRoute + 1;
  localparam int WriteMatmul  = 0;                        // ActPorts of them
  localparam int WriteVector  = int'(ActPorts);
  localparam int WriteLoad    = WriteVector + 1;
  localparam int unsigned NumReads   = 3 * ActPorts + 2;
  localparam int unsigned NumWrites  = ActPorts + 2;
  localparam int unsigned ActBits    = 16 * TileColumns;
  localparam int unsigned WeightBits = 8 * TileColumns * TileDepth;
  localparam int unsigned RowBits    = $clog2(RowEntries);

  if (TileColumns < 8 || (TileColumns & (TileColumns - 1)) != 0) begin : gen_check_columns
    $fatal(1, "accelerator: TileColumns is %0d, it must be a power of two, at least 8", TileColumns);
  end
  if (TileDepth != 4 && TileDepth != 8) begin : gen_check_depth
    $fatal(1, "accelerator: TileDepth is %0d, it must be 4 or 8", TileDepth);
  end
  if ((ActPorts != 1 && ActPorts != 2) || TileRows % ActPorts != 0) begin : gen_check_act_ports
    $fatal(1, "accelerator: ActPorts is %0d, it must be 1 or 2 and divide TileRows, %0d", ActPorts, TileRows);
  end
  if (LoadPorts < 1 || LoadPorts > 4) begin : gen_check_load_ports
    $fatal(1, "accelerator: LoadPorts is %0d, it must be 1 to 4", LoadPorts);
  end

  // --- control ---
  // The units and memories are let go by copies of core_rst_n, a cycle later, each with less than 500 loads.
  localparam int unsigned ResetFront     = Units;
  localparam int unsigned ResetAct       = Units + 1;
  localparam int unsigned ResetWeight    = Units + 2;
  localparam int unsigned Resets         = Units + 3;
  logic [Resets-1:0] unit_rst_n;
  logic core_rst_n, start, halt, fetch_idle, load_idle, store_idle, end_reached, fetch_beat;
  logic [LoadPorts-1:0] load_beats;
  logic [39:0] constant_base, frame_base;
  logic [31:0] constant_size, frame_size, program_offset, program_size;
  logic [Units:0] fault;
  logic [Units:0][3:0] fault_cause;
  logic [Units:0][31:0] fault_tag;
  logic [Units-1:0] busy, empty, completed, semaphore_stall;

  // Faults and the end of all work reach the control one cycle later, together, so that their order stays.
  logic [Units:0] fault_q;
  logic [Units:0][3:0] fault_cause_q;
  logic [Units:0][31:0] fault_tag_q;
  logic units_empty_q;

  always_ff @(posedge clk_i) begin
    fault_q       <= fault;
    fault_cause_q <= fault_cause;
    fault_tag_q   <= fault_tag;
    units_empty_q <= &empty;
    if (!unit_rst_n[ResetFront]) begin
      fault_q       <= '0;
      units_empty_q <= 1'b0;
    end
  end
  logic [moesaic_isa_pkg::COUNTERS-1:0] counted;

  moesaic_control #(
      .LoadPorts  (LoadPorts),
      .Fingerprint(Fingerprint)
  ) u_control (
      .clk_i,
      .rst_ni,
      .irq_o,
      .s_axi_i         (s_axi_control_i),
      .s_axi_o         (s_axi_control_o),
      .core_rst_no     (core_rst_n),
      .start_o         (start),
      .halt_o          (halt),
      .bus_idle_i      (fetch_idle && load_idle && store_idle),
      .end_i           (end_reached),
      .units_empty_i   (units_empty_q),
      .constant_base_o (constant_base),
      .constant_size_o (constant_size),
      .frame_base_o    (frame_base),
      .frame_size_o    (frame_size),
      .program_offset_o(program_offset),
      .program_size_o  (program_size),
      .fault_i         (fault_q),
      .fault_cause_i   (fault_cause_q),
      .fault_tag_i     (fault_tag_q),
      .completed_i     (completed),
      .event_i         (counted),
      .read_beats_i    ({fetch_beat, load_beats})
  );

  for (genvar r = 0; r < int'(Resets); r++) begin : gen_reset
    moesaic_replica u_copy (
        .clk_i,
        .data_i(core_rst_n),
        .data_o(unit_rst_n[r])
    );
  end

  // --- fetch, issue, semaphores ---
  logic [Units-1:0] dispatch_valid, dispatch_ready;
  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] dispatch_instr;

  assign fault_tag[Units] = '0;

  moesaic_fetch #(
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth),
      .Experts    (Experts),
      .QueueTokens(QueueTokens)
  ) u_fetch (
      .clk_i,
      .rst_ni          (unit_rst_n[ResetFront]),
      .start_i         (start),
      .constant_base_i (constant_base),
      .constant_size_i (constant_size),
      .program_offset_i(program_offset),
      .program_size_i  (program_size),
      .halt_i          (halt),
      .idle_o          (fetch_idle),
      .read_beat_o     (fetch_beat),
      .end_o           (end_reached),
      .fault_o         (fault[Units]),
      .fault_cause_o   (fault_cause[Units]),
      .dispatch_valid_o(dispatch_valid),
      .dispatch_ready_i(dispatch_ready),
      .dispatch_instr_o(dispatch_instr),
      .m_axi_o         (m_axi_main_read_o),
      .m_axi_i         (m_axi_main_read_i)
  );

  logic [Units-1:0][moesaic_isa_pkg::SEMAPHORES-1:0] wait_mask, signal_mask;
  logic [Units-1:0] semaphores_ready, take, signal, overflow;

  moesaic_semaphores #(
      .Units(Units)
  ) u_semaphores (
      .clk_i,
      .rst_ni       (unit_rst_n[ResetFront]),
      .wait_mask_i  (wait_mask),
      .ready_o      (semaphores_ready),
      .take_i       (take),
      .signal_i     (signal),
      .signal_mask_i(signal_mask),
      .overflow_o   (overflow)
  );

  logic [Units-1:0] instr_valid, instr_ready, unit_fault, fault_older;
  logic [Units-1:0][8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] instr;
  logic [Units-1:0][3:0] unit_cause;

  for (genvar u = 0; u < int'(Units); u++) begin : gen_issue
    moesaic_issue #(
        .InstructionQueue(InstructionQueue)
    ) u_issue (
        .clk_i,
        .rst_ni            (unit_rst_n[ResetFront]),
        .dispatch_valid_i  (dispatch_valid[u]),
        .dispatch_ready_o  (dispatch_ready[u]),
        .dispatch_instr_i  (dispatch_instr),
        .wait_mask_o       (wait_mask[u]),
        .semaphores_ready_i(semaphores_ready[u]),
        .take_o            (take[u]),
        .signal_o          (signal[u]),
        .signal_mask_o     (signal_mask[u]),
        .instr_valid_o     (instr_valid[u]),
        .instr_ready_i     (instr_ready[u]),
        .instr_o           (instr[u]),
        .done_i            (completed[u]),
        .fault_older_i     (fault_older[u]),
        .tag_o             (fault_tag[u]),
        .busy_o            (busy[u]),
        .empty_o           (empty[u]),
        .semaphore_stall_o (semaphore_stall[u])
    );

    assign fault[u]       = unit_fault[u] || overflow[u];
    assign fault_cause[u] = unit_fault[u] ? unit_cause[u] : moesaic_isa_pkg::FAULT_SEMAPHORE_OVERFLOW;
  end

  // --- memories ---
  logic [NumReads-1:0] act_rd_valid, act_rd_ready, act_rd_data_valid, act_rd_fault;
  logic [NumReads-1:0][31:0] act_rd_address;
  logic [NumReads-1:0][ActBits-1:0] act_rd_data;
  logic [NumWrites-1:0] act_wr_valid, act_wr_ready, act_wr_fault;
  logic [NumWrites-1:0][31:0] act_wr_address;
  logic [NumWrites-1:0][ActBits-1:0] act_wr_data;
  logic [NumWrites-1:0][ActBits/8-1:0] act_wr_strobe;

  // Weight words that lie in the activation memory.
  logic shared_rd_valid, shared_wr_valid;
  logic [31:0] shared_rd_address, shared_wr_address;
  logic [WeightBits-1:0] shared_rd_data, shared_wr_data;
  logic [WeightBits/8-1:0] shared_wr_strobe;

  moesaic_act_memory #(
      .TileColumns  (TileColumns),
      .ActBytes     (ActBytes),
      .ActBanks     (ActBanks),
      .ActUltraBytes(ActUltraBytes),
      .SharedBytes  (SharedBytes),
      .WideWords    (TileDepth / 2),
      .NumReads     (NumReads),
      .NumWrites    (NumWrites)
  ) u_act_memory (
      .clk_i,
      .rst_ni             (unit_rst_n[ResetAct]),
      .rd_valid_i         (act_rd_valid),
      .rd_ready_o         (act_rd_ready),
      .rd_address_i       (act_rd_address),
      .rd_data_valid_o    (act_rd_data_valid),
      .rd_data_o          (act_rd_data),
      .rd_fault_o         (act_rd_fault),
      .wr_valid_i         (act_wr_valid),
      .wr_ready_o         (act_wr_ready),
      .wr_address_i       (act_wr_address),
      .wr_data_i          (act_wr_data),
      .wr_strobe_i        (act_wr_strobe),
      .wr_fault_o         (act_wr_fault),
      .wide_rd_valid_i    (shared_rd_valid),
      .wide_rd_address_i  (shared_rd_address),
      .wide_rd_data_o     (shared_rd_data),
      .wide_wr_valid_i    (shared_wr_valid),
      .wide_wr_address_i  (shared_wr_address),
      .wide_wr_data_i     (shared_wr_data),
      .wide_wr_strobe_i   (shared_wr_strobe)
  );

  logic weight_rd_valid, weight_rd_data_valid, weight_rd_fault;
  logic [31:0] weight_rd_address;
  logic [WeightBits-1:0] weight_rd_data;
  logic [1:0] weight_wr_valid, weight_wr_ready, weight_wr_fault;
  logic [1:0][31:0] weight_wr_address;
  logic [1:0][WeightBits-1:0] weight_wr_data;
  logic [1:0][WeightBits/8-1:0] weight_wr_strobe;

  moesaic_weight_memory #(
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth),
      .WeightBytes(WeightBytes),
      .SharedBytes(SharedBytes),
      .Ultra      (WeightUltra)
  ) u_weight_memory (
      .clk_i,
      .rst_ni             (unit_rst_n[ResetWeight]),
      .rd_valid_i         (weight_rd_valid),
      .rd_address_i       (weight_rd_address),
      .rd_data_valid_o    (weight_rd_data_valid),
      .rd_data_o          (weight_rd_data),
      .rd_fault_o         (weight_rd_fault),
      .wr_valid_i         (weight_wr_valid),
      .wr_ready_o         (weight_wr_ready),
      .wr_address_i       (weight_wr_address),
      .wr_data_i          (weight_wr_data),
      .wr_strobe_i        (weight_wr_strobe),
      .wr_fault_o         (weight_wr_fault),
      .shared_rd_valid_o  (shared_rd_valid),
      .shared_rd_address_o(shared_rd_address),
      .shared_rd_data_i   (shared_rd_data),
      .shared_wr_valid_o  (shared_wr_valid),
      .shared_wr_address_o(shared_wr_address),
      .shared_wr_data_o   (shared_wr_data),
      .shared_wr_strobe_o (shared_wr_strobe)
  );

  logic [ActPorts-1:0] max_we;
  logic [ActPorts-1:0][RowBits-1:0] max_wr_address, scale_rd_address;
  logic [ActPorts-1:0][15:0] max_wr_data, scale_rd_multiplier;
  logic [ActPorts-1:0][5:0] scale_rd_shift;
  logic scale_we;
  logic [RowBits-1:0] max_rd_address, scale_wr_address;
  logic [15:0] max_rd_data, scale_wr_multiplier;
  logic [5:0] scale_wr_shift;

  moesaic_row_statistics #(
      .ActPorts  (ActPorts),
      .RowEntries(RowEntries)
  ) u_row_statistics (
      .clk_i,
      .max_we_i             (max_we),
      .max_wr_address_i     (max_wr_address),
      .max_wr_data_i        (max_wr_data),
      .max_rd_address_i     (max_rd_address),
      .max_rd_data_o        (max_rd_data),
      .scale_we_i           (scale_we),
      .scale_wr_address_i   (scale_wr_address),
      .scale_wr_multiplier_i(scale_wr_multiplier),
      .scale_wr_shift_i     (scale_wr_shift),
      .scale_rd_address_i   (scale_rd_address),
      .scale_rd_multiplier_o(scale_rd_multiplier),
      .scale_rd_shift_o     (scale_rd_shift)
  );

  logic queue_next_valid, queue_clear, queue_push_valid;
  logic [16:0] queue_next_token, queue_after_route;
  logic [$clog2(Experts)-1:0] queue_push_expert, queue_rd_expert;
  logic [15:0] queue_push_token, queue_push_score, queue_rd_token, queue_rd_score;
  logic [$clog2(QueueTokens)-1:0] queue_rd_index;
  logic [Experts-1:0][16:0] queue_count;

  moesaic_expert_queue #(
      .Experts    (Experts),
      .QueueTokens(QueueTokens)
  ) u_expert_queue (
      .clk_i,
      .rst_ni,
      .clear_i      (queue_clear),
      .next_valid_i (queue_next_valid),
      .next_token_i (queue_after_route),
      .next_token_o (queue_next_token),
      .push_valid_i (queue_push_valid),
      .push_expert_i(queue_push_expert),
      .push_token_i (queue_push_token),
      .push_score_i (queue_push_score),
      .count_o      (queue_count),
      .rd_expert_i  (queue_rd_expert),
      .rd_index_i   (queue_rd_index),
      .rd_token_o   (queue_rd_token),
      .rd_score_o   (queue_rd_score)
  );

  // --- units ---
  logic table_wr_valid, table_wr_ready, table_wr_fault;
  logic [31:0] table_wr_address;
  logic [127:0] table_wr_data;

  localparam int Load   = int'(moesaic_isa_pkg::UNIT_LOAD);
  localparam int Store  = int'(moesaic_isa_pkg::UNIT_STORE);
  localparam int Matmul = int'(moesaic_isa_pkg::UNIT_MATMUL);
  localparam int Vector = int'(moesaic_isa_pkg::UNIT_VECTOR);
  localparam int Route  = int'(moesaic_isa_pkg::UNIT_ROUTE);

  moesaic_load #(
      .LoadPorts  (LoadPorts),
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth),
      .ActBytes   (ActBytes),
      .WeightBytes(WeightBytes + SharedBytes),
      .Experts    (Experts)
  ) u_load (
      .clk_i,
      .rst_ni             (unit_rst_n[Load]),
      .instr_valid_i      (instr_valid[Load]),
      .instr_ready_o      (instr_ready[Load]),
      .instr_i            (instr[Load]),
      .done_o             (completed[Load]),
      .fault_o            (unit_fault[Load]),
      .fault_cause_o      (unit_cause[Load]),
      .fault_older_o      (fault_older[Load]),
      .halt_i             (halt),
      .idle_o             (load_idle),
      .dram_stall_o       (counted[moesaic_isa_pkg::COUNTER_LOAD_DRAM_STALL]),
      .read_beats_o       (load_beats),
      .constant_base_i    (constant_base),
      .constant_size_i    (constant_size),
      .frame_base_i       (frame_base),
      .frame_size_i       (frame_size),
      .count_i            (queue_count),
      .act_wr_valid_o     (act_wr_valid[WriteLoad]),
      .act_wr_ready_i     (act_wr_ready[WriteLoad]),
      .act_wr_address_o   (act_wr_address[WriteLoad]),
      .act_wr_data_o      (act_wr_data[WriteLoad]),
      .act_wr_strobe_o    (act_wr_strobe[WriteLoad]),
      .weight_wr_valid_o  (weight_wr_valid[1]),
      .weight_wr_ready_i  (weight_wr_ready[1]),
      .weight_wr_address_o(weight_wr_address[1]),
      .weight_wr_data_o   (weight_wr_data[1]),
      .weight_wr_strobe_o (weight_wr_strobe[1]),
      .table_wr_valid_o   (table_wr_valid),
      .table_wr_ready_i   (table_wr_ready),
      .table_wr_address_o (table_wr_address),
      .table_wr_data_o    (table_wr_data),
      .m_axi_o            (m_axi_load_o),
      .m_axi_i            (m_axi_load_i)
  );

  moesaic_store #(
      .TileColumns(TileColumns),
      .ActBytes   (ActBytes)
  ) u_store (
      .clk_i,
      .rst_ni             (unit_rst_n[Store]),
      .instr_valid_i      (instr_valid[Store]),
      .instr_ready_o      (instr_ready[Store]),
      .instr_i            (instr[Store]),
      .done_o             (completed[Store]),
      .fault_o            (unit_fault[Store]),
      .fault_cause_o      (unit_cause[Store]),
      .halt_i             (halt),
      .idle_o             (store_idle),
      .dram_stall_o       (counted[moesaic_isa_pkg::COUNTER_STORE_DRAM_STALL]),
      .write_beat_o       (counted[moesaic_isa_pkg::COUNTER_WRITE_BEATS]),
      .frame_base_i       (frame_base),
      .frame_size_i       (frame_size),
      .act_rd_valid_o     (act_rd_valid[ReadStore]),
      .act_rd_ready_i     (act_rd_ready[ReadStore]),
      .act_rd_address_o   (act_rd_address[ReadStore]),
      .act_rd_data_valid_i(act_rd_data_valid[ReadStore]),
      .act_rd_data_i      (act_rd_data[ReadStore]),
      .m_axi_o            (m_axi_main_write_o),
      .m_axi_i            (m_axi_main_write_i)
  );

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
      .rst_ni                (unit_rst_n[Matmul]),
      .instr_valid_i         (instr_valid[Matmul]),
      .instr_ready_o         (instr_ready[Matmul]),
      .instr_i               (instr[Matmul]),
      .done_o                (completed[Matmul]),
      .fault_o               (unit_fault[Matmul]),
      .fault_cause_o         (unit_cause[Matmul]),
      .fault_older_o         (fault_older[Matmul]),
      .array_o               (counted[moesaic_isa_pkg::COUNTER_MATMUL_ARRAY]),
      .drain_stall_o         (counted[moesaic_isa_pkg::COUNTER_MATMUL_DRAIN_STALL]),
      .operand_stall_o       (counted[moesaic_isa_pkg::COUNTER_MATMUL_OPERAND_STALL]),
      .act_rd_valid_o        (act_rd_valid[ReadOperand+:2*ActPorts]),
      .act_rd_ready_i        (act_rd_ready[ReadOperand+:2*ActPorts]),
      .act_rd_address_o      (act_rd_address[ReadOperand+:2*ActPorts]),
      .act_rd_data_valid_i   (act_rd_data_valid[ReadOperand+:2*ActPorts]),
      .act_rd_data_i         (act_rd_data[ReadOperand+:2*ActPorts]),
      .act_rd_fault_i        (act_rd_fault[ReadOperand+:2*ActPorts]),
      .act_wr_valid_o        (act_wr_valid[WriteMatmul+:ActPorts]),
      .act_wr_ready_i        (act_wr_ready[WriteMatmul+:ActPorts]),
      .act_wr_address_o      (act_wr_address[WriteMatmul+:ActPorts]),
      .act_wr_data_o         (act_wr_data[WriteMatmul+:ActPorts]),
      .act_wr_strobe_o       (act_wr_strobe[WriteMatmul+:ActPorts]),
      .act_wr_fault_i        (act_wr_fault[WriteMatmul+:ActPorts]),
      .weight_rd_valid_o     (weight_rd_valid),
      .weight_rd_address_o   (weight_rd_address),
      .weight_rd_data_valid_i(weight_rd_data_valid),
      .weight_rd_data_i      (weight_rd_data),
      .weight_rd_fault_i     (weight_rd_fault),
      .weight_wr_valid_o     (weight_wr_valid[0]),
      .weight_wr_ready_i     (weight_wr_ready[0]),
      .weight_wr_address_o   (weight_wr_address[0]),
      .weight_wr_data_o      (weight_wr_data[0]),
      .weight_wr_strobe_o    (weight_wr_strobe[0]),
      .weight_wr_fault_i     (weight_wr_fault[0]),
      .table_wr_valid_i      (table_wr_valid),
      .table_wr_ready_o      (table_wr_ready),
      .table_wr_address_i    (table_wr_address),
      .table_wr_data_i       (table_wr_data),
      .table_wr_fault_o      (table_wr_fault),
      .max_we_o              (max_we),
      .max_wr_address_o      (max_wr_address),
      .max_wr_data_o         (max_wr_data),
      .scale_rd_address_o    (scale_rd_address),
      .scale_rd_multiplier_i (scale_rd_multiplier),
      .scale_rd_shift_i      (scale_rd_shift),
      .queue_count_i         (queue_count),
      .queue_rd_expert_o     (queue_rd_expert),
      .queue_rd_index_o      (queue_rd_index),
      .queue_rd_token_i      (queue_rd_token),
      .queue_rd_score_i      (queue_rd_score)
  );

  moesaic_vector #(
      .TileColumns(TileColumns),
      .NormLanes  (NormLanes),
      .ActPorts   (ActPorts),
      .RowEntries (RowEntries)
  ) u_vector (
      .clk_i,
      .rst_ni               (unit_rst_n[Vector]),
      .instr_valid_i        (instr_valid[Vector]),
      .instr_ready_o        (instr_ready[Vector]),
      .instr_i              (instr[Vector]),
      .done_o               (completed[Vector]),
      .fault_o              (unit_fault[Vector]),
      .fault_cause_o        (unit_cause[Vector]),
      .layer_norm_busy_o    (counted[moesaic_isa_pkg::COUNTER_LAYER_NORM_BUSY]),
      .softmax_busy_o       (counted[moesaic_isa_pkg::COUNTER_SOFTMAX_BUSY]),
      .act_rd_valid_o       (act_rd_valid[ReadVector+:ActPorts]),
      .act_rd_ready_i       (act_rd_ready[ReadVector+:ActPorts]),
      .act_rd_address_o     (act_rd_address[ReadVector+:ActPorts]),
      .act_rd_data_valid_i  (act_rd_data_valid[ReadVector+:ActPorts]),
      .act_rd_data_i        (act_rd_data[ReadVector+:ActPorts]),
      .act_rd_fault_i       (act_rd_fault[ReadVector+:ActPorts]),
      .act_wr_valid_o       (act_wr_valid[WriteVector]),
      .act_wr_ready_i       (act_wr_ready[WriteVector]),
      .act_wr_address_o     (act_wr_address[WriteVector]),
      .act_wr_data_o        (act_wr_data[WriteVector]),
      .act_wr_strobe_o      (act_wr_strobe[WriteVector]),
      .act_wr_fault_i       (act_wr_fault[WriteVector]),
      .max_rd_address_o     (max_rd_address),
      .max_rd_data_i        (max_rd_data),
      .scale_we_o           (scale_we),
      .scale_wr_address_o   (scale_wr_address),
      .scale_wr_multiplier_o(scale_wr_multiplier),
      .scale_wr_shift_o     (scale_wr_shift)
  );

  moesaic_route #(
      .TileColumns(TileColumns),
      .Experts    (Experts)
  ) u_route (
      .clk_i,
      .rst_ni             (unit_rst_n[Route]),
      .instr_valid_i      (instr_valid[Route]),
      .instr_ready_o      (instr_ready[Route]),
      .instr_i            (instr[Route]),
      .done_o             (completed[Route]),
      .fault_o            (unit_fault[Route]),
      .fault_cause_o      (unit_cause[Route]),
      .busy_o             (counted[moesaic_isa_pkg::COUNTER_ROUTE_BUSY]),
      .act_rd_valid_o     (act_rd_valid[ReadRoute]),
      .act_rd_ready_i     (act_rd_ready[ReadRoute]),
      .act_rd_address_o   (act_rd_address[ReadRoute]),
      .act_rd_data_valid_i(act_rd_data_valid[ReadRoute]),
      .act_rd_data_i      (act_rd_data[ReadRoute]),
      .act_rd_fault_i     (act_rd_fault[ReadRoute]),
      .queue_next_valid_o (queue_next_valid),
      .queue_clear_o      (queue_clear),
      .queue_next_token_o (queue_after_route),
      .queue_next_token_i (queue_next_token),
      .queue_push_valid_o (queue_push_valid),
      .queue_push_expert_o(queue_push_expert),
      .queue_push_token_o (queue_push_token),
      .queue_push_score_o (queue_push_score)
  );

  // These units hold one instruction at a time.
  assign fault_older[Store]  = 1'b0;
  assign fault_older[Vector] = 1'b0;
  assign fault_older[Route]  = 1'b0;

  // --- counted events that no unit reports itself; cycles, instructions and read beats are counted by control ---
  assign counted[moesaic_isa_pkg::COUNTER_CYCLES]                 = 1'b0;
  assign counted[moesaic_isa_pkg::COUNTER_INSTRUCTIONS]           = 1'b0;
  assign counted[moesaic_isa_pkg::COUNTER_READ_BEATS]             = 1'b0;
  assign counted[moesaic_isa_pkg::COUNTER_LOAD_BUSY]              = busy[Load];
  assign counted[moesaic_isa_pkg::COUNTER_STORE_BUSY]             = busy[Store];
  assign counted[moesaic_isa_pkg::COUNTER_MATMUL_BUSY]            = busy[Matmul];
  assign counted[moesaic_isa_pkg::COUNTER_LOAD_SEMAPHORE_STALL]   = semaphore_stall[Load];
  assign counted[moesaic_isa_pkg::COUNTER_STORE_SEMAPHORE_STALL]  = semaphore_stall[Store];
  assign counted[moesaic_isa_pkg::COUNTER_MATMUL_SEMAPHORE_STALL] = semaphore_stall[Matmul];
  assign counted[moesaic_isa_pkg::COUNTER_VECTOR_SEMAPHORE_STALL] = semaphore_stall[Vector];
  assign counted[moesaic_isa_pkg::COUNTER_ROUTE_SEMAPHORE_STALL]  = semaphore_stall[Route];

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni(unit_rst_n[Route]), .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      store_reads_inside: assert (!act_rd_fault[ReadStore]);
      load_writes_inside: assert (!act_wr_fault[WriteLoad] && !weight_wr_fault[1] && !table_wr_fault);
      vector_executes_what_was_issued: assert (
          busy[Vector]
          || !(counted[moesaic_isa_pkg::COUNTER_LAYER_NORM_BUSY] || counted[moesaic_isa_pkg::COUNTER_SOFTMAX_BUSY])
      );
      route_executes_what_was_issued: assert (busy[Route] || !counted[moesaic_isa_pkg::COUNTER_ROUTE_BUSY]);
    end
  end
`endif

endmodule
