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
  input  logic [511:0] dispatch_instr_i,
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
  logic [511:0] instr;

  logic [LoadPorts-1:0][39:0]  araddr;
  logic [LoadPorts-1:0][7:0]   arlen;
  logic [LoadPorts-1:0][2:0]   arsize;
  logic [LoadPorts-1:0][1:0]   arburst;
  logic [LoadPorts-1:0]        arvalid, arready;
  logic [LoadPorts-1:0][127:0] rdata;
  logic [LoadPorts-1:0][1:0]   rresp;
  logic [LoadPorts-1:0]        rlast, rvalid, rready;

  // Only what throughput depends on is connected.
  /* verilator lint_off PINCONNECTEMPTY */
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
    .m_axi_araddr(araddr),
    .m_axi_arlen(arlen),
    .m_axi_arsize(arsize),
    .m_axi_arburst(arburst),
    .m_axi_arcache(),
    .m_axi_arprot(),
    .m_axi_arvalid(arvalid),
    .m_axi_arready(arready),
    .m_axi_rdata(rdata),
    .m_axi_rresp(rresp),
    .m_axi_rlast(rlast),
    .m_axi_rvalid(rvalid),
    .m_axi_rready(rready)
  );

  for (genvar p = 0; p < int'(LoadPorts); p++) begin : gen_port
    dram #(.Port(p)) u_dram (
      .clk_i,
      .rst_ni,
      .s_axi_araddr(araddr[p]),
      .s_axi_arlen(arlen[p]),
      .s_axi_arsize(arsize[p]),
      .s_axi_arburst(arburst[p]),
      .s_axi_arvalid(arvalid[p]),
      .s_axi_arready(arready[p]),
      .s_axi_rdata(rdata[p]),
      .s_axi_rresp(rresp[p]),
      .s_axi_rlast(rlast[p]),
      .s_axi_rvalid(rvalid[p]),
      .s_axi_rready(rready[p]),
      .s_axi_awaddr('0),
      .s_axi_awlen('0),
      .s_axi_awsize('0),
      .s_axi_awburst('0),
      .s_axi_awvalid(1'b0),
      .s_axi_awready(),
      .s_axi_wdata('0),
      .s_axi_wstrb('0),
      .s_axi_wlast(1'b0),
      .s_axi_wvalid(1'b0),
      .s_axi_wready(),
      .s_axi_bresp(),
      .s_axi_bvalid(),
      .s_axi_bready(1'b0)
    );
  end
  /* verilator lint_on PINCONNECTEMPTY */

endmodule
