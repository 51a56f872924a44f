// The accelerator with the DRAM model at its masters; clock, reset, control port and interrupt are left to cocotb.
// Parameters are those of the accelerator, which checks them; the defaults are overridden as a whole by the executor.
module testbench #(
  parameter int unsigned TileRows = 4,
  parameter int unsigned TileColumns = 8,
  parameter int unsigned TileDepth = 4,
  parameter int unsigned NormLanes = 4,
  parameter int unsigned ActPorts = 2,
  parameter int unsigned LoadPorts = 3,
  parameter int unsigned ActBytes = 131072,
  parameter int unsigned ActBanks = 4,
  parameter int unsigned ActUltraBytes = 32768,
  parameter int unsigned SharedBytes = 32768,
  parameter int unsigned WeightBytes = 131072,
  parameter bit WeightUltra = 1'b1,
  parameter int unsigned RowEntries = 128,
  parameter int unsigned QueueTokens = 128,
  parameter int unsigned Experts = 16,
  parameter int unsigned InstructionQueue = 8,
  parameter logic [63:0] Fingerprint = 64'd0
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  output logic        irq_o,
  output logic        run_start_o,       // the run's first cycle is the next

  input  logic [11:0] s_axi_control_awaddr,
  input  logic [2:0]  s_axi_control_awprot,
  input  logic        s_axi_control_awvalid,
  output logic        s_axi_control_awready,
  input  logic [31:0] s_axi_control_wdata,
  input  logic [3:0]  s_axi_control_wstrb,
  input  logic        s_axi_control_wvalid,
  output logic        s_axi_control_wready,
  output logic [1:0]  s_axi_control_bresp,
  output logic        s_axi_control_bvalid,
  input  logic        s_axi_control_bready,
  input  logic [11:0] s_axi_control_araddr,
  input  logic [2:0]  s_axi_control_arprot,
  input  logic        s_axi_control_arvalid,
  output logic        s_axi_control_arready,
  output logic [31:0] s_axi_control_rdata,
  output logic [1:0]  s_axi_control_rresp,
  output logic        s_axi_control_rvalid,
  input  logic        s_axi_control_rready
);

  moesaic_axi_pkg::lite_request_t control_request;
  moesaic_axi_pkg::lite_response_t control_response;
  logic [LoadPorts-1:0][moesaic_axi_pkg::READ_REQUEST_BITS-1:0] load_requests;
  logic [LoadPorts-1:0][moesaic_axi_pkg::READ_RESPONSE_BITS-1:0] load_responses;
  moesaic_axi_pkg::read_request_t read_request;
  moesaic_axi_pkg::read_response_t read_response;
  moesaic_axi_pkg::write_request_t write_request;
  moesaic_axi_pkg::write_response_t write_response;

  assign control_request.awaddr  = s_axi_control_awaddr;
  assign control_request.awprot  = s_axi_control_awprot;
  assign control_request.awvalid = s_axi_control_awvalid;
  assign control_request.wdata   = s_axi_control_wdata;
  assign control_request.wstrb   = s_axi_control_wstrb;
  assign control_request.wvalid  = s_axi_control_wvalid;
  assign control_request.bready  = s_axi_control_bready;
  assign control_request.araddr  = s_axi_control_araddr;
  assign control_request.arprot  = s_axi_control_arprot;
  assign control_request.arvalid = s_axi_control_arvalid;
  assign control_request.rready  = s_axi_control_rready;
  assign s_axi_control_awready   = control_response.awready;
  assign s_axi_control_wready    = control_response.wready;
  assign s_axi_control_bresp     = control_response.bresp;
  assign s_axi_control_bvalid    = control_response.bvalid;
  assign s_axi_control_arready   = control_response.arready;
  assign s_axi_control_rdata     = control_response.rdata;
  assign s_axi_control_rresp     = control_response.rresp;
  assign s_axi_control_rvalid    = control_response.rvalid;

  assign run_start_o = u_accelerator.start;

  moesaic_accelerator #(
    .TileRows(TileRows),
    .TileColumns(TileColumns),
    .TileDepth(TileDepth),
    .NormLanes(NormLanes),
    .ActPorts(ActPorts),
    .LoadPorts(LoadPorts),
    .ActBytes(ActBytes),
    .ActBanks(ActBanks),
    .ActUltraBytes(ActUltraBytes),
    .SharedBytes(SharedBytes),
    .WeightBytes(WeightBytes),
    .WeightUltra(WeightUltra),
    .RowEntries(RowEntries),
    .QueueTokens(QueueTokens),
    .Experts(Experts),
    .InstructionQueue(InstructionQueue),
    .Fingerprint(Fingerprint)
  ) u_accelerator (
    .clk_i,
    .rst_ni,
    .irq_o,
    .s_axi_control_i(control_request),
    .s_axi_control_o(control_response),
    .m_axi_load_o(load_requests),
    .m_axi_load_i(load_responses),
    .m_axi_main_read_o(read_request),
    .m_axi_main_read_i(read_response),
    .m_axi_main_write_o(write_request),
    .m_axi_main_write_i(write_response)
  );

  dram #(
    .Ports(int'(LoadPorts) + 1)
  ) u_dram (
    .clk_i,
    .rst_ni,
    .s_axi_read_i({read_request, load_requests}),
    .s_axi_read_o({read_response, load_responses}),
    .s_axi_write_i(write_request),
    .s_axi_write_o(write_response)
  );

  recorder #(.Ports(LoadPorts + 1)) u_recorder (
    .clk_i,
    .start_i(u_accelerator.start),
    .halt_i(u_accelerator.halt),
    .accept_i(u_accelerator.dispatch_valid & u_accelerator.dispatch_ready),
    .take_i(u_accelerator.take),
    .done_i(u_accelerator.completed),
    .busy_i(u_accelerator.busy),
    .semaphore_stall_i(u_accelerator.semaphore_stall),
    .load_dram_stall_i(u_accelerator.counted[moesaic_isa_pkg::COUNTER_LOAD_DRAM_STALL]),
    .store_dram_stall_i(u_accelerator.counted[moesaic_isa_pkg::COUNTER_STORE_DRAM_STALL]),
    .operand_stall_i(u_accelerator.counted[moesaic_isa_pkg::COUNTER_MATMUL_OPERAND_STALL]),
    .drain_stall_i(u_accelerator.counted[moesaic_isa_pkg::COUNTER_MATMUL_DRAIN_STALL]),
    .array_i(u_accelerator.counted[moesaic_isa_pkg::COUNTER_MATMUL_ARRAY]),
    .fetch_valid_i(|u_accelerator.dispatch_valid),
    .fetch_end_i(u_accelerator.end_reached)
  );

`ifdef MOESAIC_COVERAGE
  localparam int ReadVector = 2 * int'(ActPorts);
  localparam int ReadRoute  = 3 * int'(ActPorts);
  localparam int Ports      = int'(ActPorts);

  logic [3*ActPorts+1:0] rd_held, rd_served;
  logic [ActPorts+1:0] wr_held, wr_served;
  assign rd_held   = u_accelerator.act_rd_valid & ~u_accelerator.act_rd_ready;
  assign rd_served = u_accelerator.act_rd_valid & u_accelerator.act_rd_ready;
  assign wr_held   = u_accelerator.act_wr_valid & ~u_accelerator.act_wr_ready;
  assign wr_served = u_accelerator.act_wr_valid & u_accelerator.act_wr_ready;

  logic [24:0] above_zero, at_most;
  always_comb begin
    for (int s = 0; s < 25; s++) begin
      above_zero[s] = u_accelerator.u_semaphores.count_q[s] != '0;
      at_most[s]    = u_accelerator.u_semaphores.count_q[s] == 8'(moesaic_isa_pkg::SEMAPHORE_MAX);
    end
  end

  plan_points #(
    .Experts(int'(Experts)),
    .QueueTokens(int'(QueueTokens)),
    .LoadPorts(int'(LoadPorts))
  ) u_plan_points (
    .clk_i,
    .rst_ni(rst_ni && u_accelerator.core_rst_n),
    .busy_i(u_accelerator.busy),
    .empty_i(u_accelerator.empty),
    .completed_i(u_accelerator.completed),
    .dispatch_valid_i(u_accelerator.dispatch_valid),
    .dispatch_ready_i(u_accelerator.dispatch_ready),
    .fault_older_i(u_accelerator.fault_older),
    .fault_i(u_accelerator.fault),
    .fault_cause_i(u_accelerator.fault_cause),
    .halt_i(u_accelerator.halt),
    .timeout_i(u_accelerator.u_control.timeout),
    .wait_mask_i(u_accelerator.wait_mask),
    .semaphore_stall_i(u_accelerator.semaphore_stall),
    .above_zero_i(above_zero),
    .at_most_i(at_most),
    .overflow_i(u_accelerator.overflow),
    .rd_held_i({rd_held[ReadRoute+1], rd_held[ReadRoute], |rd_held[ReadVector+:Ports], |rd_held[0+:2*Ports]}),
    .rd_served_i({rd_served[ReadRoute+1], rd_served[ReadRoute], |rd_served[ReadVector+:Ports], |rd_served[0+:2*Ports]}),
    .wr_held_i({wr_held[Ports+1], wr_held[Ports], |wr_held[0+:Ports]}),
    .wr_served_i({wr_served[Ports+1], wr_served[Ports], |wr_served[0+:Ports]}),
    .weight_wr_valid_i({u_accelerator.weight_wr_valid[1], u_accelerator.weight_wr_valid[0]}),
    .queue_count_i(u_accelerator.queue_count),
    .queue_repeat_i(u_accelerator.u_route.repeats_q),
    .queue_clear_i(u_accelerator.queue_clear)
  );
`endif

endmodule
