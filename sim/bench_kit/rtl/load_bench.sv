// The load unit behind its issue queue, with the DRAM model at its ports; the memories take every word at once.
module load_bench #(
  parameter int unsigned LoadPorts = 3,
  parameter int unsigned TileColumns = 8,
  parameter int unsigned TileDepth = 4,
  parameter int unsigned ActBytes = 131072,
  parameter int unsigned WeightBytes = 131072,
  parameter int unsigned InstructionQueue = 8
) (
  input  logic         clk_i,
  input  logic         rst_ni,
  input  logic         dispatch_valid_i,
  output logic         dispatch_ready_o,
  input  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] dispatch_instr_i,
  input  logic [39:0]  constant_base_i,
  input  logic [31:0]  constant_size_i,
  output logic         empty_o,
  output logic         fault_o,

  output logic                               act_wr_valid_o,
  output logic [31:0]                        act_wr_address_o,
  output logic [16*TileColumns-1:0]          act_wr_data_o,
  output logic [2*TileColumns-1:0]           act_wr_strobe_o,
  output logic                               weight_wr_valid_o,
  output logic [31:0]                        weight_wr_address_o,
  output logic [8*TileColumns*TileDepth-1:0] weight_wr_data_o,
  output logic [TileColumns*TileDepth-1:0]   weight_wr_strobe_o
);

  localparam int unsigned Experts = 16;

  logic instr_valid, instr_ready, done, fault_older;
  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] instr;

  logic [LoadPorts-1:0][moesaic_axi_pkg::READ_REQUEST_BITS-1:0] requests;
  logic [LoadPorts-1:0][moesaic_axi_pkg::READ_RESPONSE_BITS-1:0] responses;

  // Only what throughput depends on is connected.
  moesaic_issue #(.InstructionQueue(InstructionQueue)) u_issue (
    .clk_i,
    .rst_ni,
    .dispatch_valid_i,
    .dispatch_ready_o,
    .dispatch_instr_i,
    .wait_mask_o(),
    .semaphores_ready_i(1'b1),
    .take_o(),
    .signal_o(),
    .signal_mask_o(),
    .instr_valid_o(instr_valid),
    .instr_ready_i(instr_ready),
    .instr_o(instr),
    .done_i(done),
    .fault_older_i(fault_older),
    .tag_o(),
    .busy_o(),
    .empty_o,
    .semaphore_stall_o()
  );

  moesaic_load #(
    .LoadPorts(LoadPorts),
    .TileColumns(TileColumns),
    .TileDepth(TileDepth),
    .ActBytes(ActBytes),
    .WeightBytes(WeightBytes),
    .Experts(Experts)
  ) u_load (
    .clk_i,
    .rst_ni,
    .instr_valid_i(instr_valid),
    .instr_ready_o(instr_ready),
    .instr_i(instr),
    .done_o(done),
    .fault_o,
    .fault_cause_o(),
    .fault_older_o(fault_older),
    .halt_i(1'b0),
    .idle_o(),
    .dram_stall_o(),
    .read_beats_o(),
    .constant_base_i,
    .constant_size_i,
    .frame_base_i('0),
    .frame_size_i('0),
    .count_i('0),
    .act_wr_valid_o,
    .act_wr_ready_i(1'b1),
    .act_wr_address_o,
    .act_wr_data_o,
    .act_wr_strobe_o,
    .weight_wr_valid_o,
    .weight_wr_ready_i(1'b1),
    .weight_wr_address_o,
    .weight_wr_data_o,
    .weight_wr_strobe_o,
    .table_wr_valid_o(),
    .table_wr_ready_i(1'b1),
    .table_wr_address_o(),
    .table_wr_data_o(),
    .m_axi_o(requests),
    .m_axi_i(responses)
  );

  dram #(
    .Ports(int'(LoadPorts))
  ) u_dram (
    .clk_i,
    .rst_ni,
    .s_axi_read_i(requests),
    .s_axi_read_o(responses),
    .s_axi_write_i(moesaic_axi_pkg::NO_WRITE_REQUEST),
    .s_axi_write_o()
  );

endmodule
