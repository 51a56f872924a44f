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

  logic [LoadPorts-1:0][39:0]  load_araddr;
  logic [LoadPorts-1:0][7:0]   load_arlen;
  logic [LoadPorts-1:0][2:0]   load_arsize;
  logic [LoadPorts-1:0][1:0]   load_arburst;
  logic [LoadPorts-1:0]        load_arvalid, load_arready;
  logic [LoadPorts-1:0][127:0] load_rdata;
  logic [LoadPorts-1:0][1:0]   load_rresp;
  logic [LoadPorts-1:0]        load_rlast, load_rvalid, load_rready;

  logic [39:0]  main_araddr, main_awaddr;
  logic [7:0]   main_arlen, main_awlen;
  logic [2:0]   main_arsize, main_awsize;
  logic [1:0]   main_arburst, main_awburst;
  logic         main_arvalid, main_awvalid;
  logic         main_arready, main_awready;
  logic [127:0] main_rdata, main_wdata;
  logic [15:0]  main_wstrb;
  logic [1:0]   main_rresp, main_bresp;
  logic         main_rlast, main_wlast;
  logic         main_rvalid, main_wvalid, main_bvalid;
  logic         main_rready, main_wready, main_bready;

  assign run_start_o = u_accelerator.start;

  // Cache and protection attributes mean nothing to the DRAM model, and the load ports never write.
  /* verilator lint_off PINCONNECTEMPTY */
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
    .RowEntries(RowEntries),
    .QueueTokens(QueueTokens),
    .Experts(Experts),
    .InstructionQueue(InstructionQueue),
    .Fingerprint(Fingerprint)
  ) u_accelerator (
    .clk_i,
    .rst_ni,
    .irq_o,
    .s_axi_control_awaddr,
    .s_axi_control_awprot,
    .s_axi_control_awvalid,
    .s_axi_control_awready,
    .s_axi_control_wdata,
    .s_axi_control_wstrb,
    .s_axi_control_wvalid,
    .s_axi_control_wready,
    .s_axi_control_bresp,
    .s_axi_control_bvalid,
    .s_axi_control_bready,
    .s_axi_control_araddr,
    .s_axi_control_arprot,
    .s_axi_control_arvalid,
    .s_axi_control_arready,
    .s_axi_control_rdata,
    .s_axi_control_rresp,
    .s_axi_control_rvalid,
    .s_axi_control_rready,
    .m_axi_load_araddr(load_araddr),
    .m_axi_load_arlen(load_arlen),
    .m_axi_load_arsize(load_arsize),
    .m_axi_load_arburst(load_arburst),
    .m_axi_load_arcache(),
    .m_axi_load_arprot(),
    .m_axi_load_arvalid(load_arvalid),
    .m_axi_load_arready(load_arready),
    .m_axi_load_rdata(load_rdata),
    .m_axi_load_rresp(load_rresp),
    .m_axi_load_rlast(load_rlast),
    .m_axi_load_rvalid(load_rvalid),
    .m_axi_load_rready(load_rready),
    .m_axi_main_araddr(main_araddr),
    .m_axi_main_arlen(main_arlen),
    .m_axi_main_arsize(main_arsize),
    .m_axi_main_arburst(main_arburst),
    .m_axi_main_arcache(),
    .m_axi_main_arprot(),
    .m_axi_main_arvalid(main_arvalid),
    .m_axi_main_arready(main_arready),
    .m_axi_main_rdata(main_rdata),
    .m_axi_main_rresp(main_rresp),
    .m_axi_main_rlast(main_rlast),
    .m_axi_main_rvalid(main_rvalid),
    .m_axi_main_rready(main_rready),
    .m_axi_main_awaddr(main_awaddr),
    .m_axi_main_awlen(main_awlen),
    .m_axi_main_awsize(main_awsize),
    .m_axi_main_awburst(main_awburst),
    .m_axi_main_awcache(),
    .m_axi_main_awprot(),
    .m_axi_main_awvalid(main_awvalid),
    .m_axi_main_awready(main_awready),
    .m_axi_main_wdata(main_wdata),
    .m_axi_main_wstrb(main_wstrb),
    .m_axi_main_wlast(main_wlast),
    .m_axi_main_wvalid(main_wvalid),
    .m_axi_main_wready(main_wready),
    .m_axi_main_bresp(main_bresp),
    .m_axi_main_bvalid(main_bvalid),
    .m_axi_main_bready(main_bready)
  );

  for (genvar p = 0; p < int'(LoadPorts); p++) begin : gen_load_port
    dram #(.Port(p)) u_dram (
      .clk_i,
      .rst_ni,
      .s_axi_araddr(load_araddr[p]),
      .s_axi_arlen(load_arlen[p]),
      .s_axi_arsize(load_arsize[p]),
      .s_axi_arburst(load_arburst[p]),
      .s_axi_arvalid(load_arvalid[p]),
      .s_axi_arready(load_arready[p]),
      .s_axi_rdata(load_rdata[p]),
      .s_axi_rresp(load_rresp[p]),
      .s_axi_rlast(load_rlast[p]),
      .s_axi_rvalid(load_rvalid[p]),
      .s_axi_rready(load_rready[p]),
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

  dram #(.Port(int'(LoadPorts))) u_dram_main (
    .clk_i,
    .rst_ni,
    .s_axi_araddr(main_araddr),
    .s_axi_arlen(main_arlen),
    .s_axi_arsize(main_arsize),
    .s_axi_arburst(main_arburst),
    .s_axi_arvalid(main_arvalid),
    .s_axi_arready(main_arready),
    .s_axi_rdata(main_rdata),
    .s_axi_rresp(main_rresp),
    .s_axi_rlast(main_rlast),
    .s_axi_rvalid(main_rvalid),
    .s_axi_rready(main_rready),
    .s_axi_awaddr(main_awaddr),
    .s_axi_awlen(main_awlen),
    .s_axi_awsize(main_awsize),
    .s_axi_awburst(main_awburst),
    .s_axi_awvalid(main_awvalid),
    .s_axi_awready(main_awready),
    .s_axi_wdata(main_wdata),
    .s_axi_wstrb(main_wstrb),
    .s_axi_wlast(main_wlast),
    .s_axi_wvalid(main_wvalid),
    .s_axi_wready(main_wready),
    .s_axi_bresp(main_bresp),
    .s_axi_bvalid(main_bvalid),
    .s_axi_bready(main_bready)
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

endmodule
