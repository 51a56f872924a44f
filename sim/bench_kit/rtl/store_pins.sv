// The store unit with every AXI signal a pin of its own, for benches in Python.
module store_pins #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned ActBytes    = 131072
) (
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         instr_valid_i,
    output logic         instr_ready_o,
    input  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] instr_i,
    output logic         done_o,
    output logic         fault_o,
    output logic [3:0]   fault_cause_o,
    input  logic         halt_i,
    output logic         idle_o,
    output logic         dram_stall_o,
    output logic         write_beat_o,

    input  logic [39:0] frame_base_i,
    input  logic [31:0] frame_size_i,

    output logic                      act_rd_valid_o,
    input  logic                      act_rd_ready_i,
    output logic [31:0]               act_rd_address_o,
    input  logic                      act_rd_data_valid_i,
    input  logic [16*TileColumns-1:0] act_rd_data_i,

    output logic [39:0]  m_axi_awaddr,
    output logic [7:0]   m_axi_awlen,
    output logic [2:0]   m_axi_awsize,
    output logic [1:0]   m_axi_awburst,
    output logic [3:0]   m_axi_awcache,
    output logic [2:0]   m_axi_awprot,
    output logic         m_axi_awvalid,
    input  logic         m_axi_awready,
    output logic [127:0] m_axi_wdata,
    output logic [15:0]  m_axi_wstrb,
    output logic         m_axi_wlast,
    output logic         m_axi_wvalid,
    input  logic         m_axi_wready,
    input  logic [1:0]   m_axi_bresp,
    input  logic         m_axi_bvalid,
    output logic         m_axi_bready
);

  moesaic_axi_pkg::write_request_t request;
  moesaic_axi_pkg::write_response_t response;

  assign m_axi_awaddr     = request.aw.addr;
  assign m_axi_awlen      = request.aw.len;
  assign m_axi_awsize     = request.aw.size;
  assign m_axi_awburst    = request.aw.burst;
  assign m_axi_awcache    = request.aw.cache;
  assign m_axi_awprot     = request.aw.prot;
  assign m_axi_awvalid    = request.awvalid;
  assign m_axi_wdata      = request.w.data;
  assign m_axi_wstrb      = request.w.strb;
  assign m_axi_wlast      = request.w.last;
  assign m_axi_wvalid     = request.wvalid;
  assign m_axi_bready     = request.bready;
  assign response.awready = m_axi_awready;
  assign response.wready  = m_axi_wready;
  assign response.bresp   = m_axi_bresp;
  assign response.bvalid  = m_axi_bvalid;

  moesaic_store #(
      .TileColumns(TileColumns),
      .ActBytes(ActBytes)
  ) u_store (
      .clk_i,
      .rst_ni,
      .instr_valid_i,
      .instr_ready_o,
      .instr_i,
      .done_o,
      .fault_o,
      .fault_cause_o,
      .halt_i,
      .idle_o,
      .dram_stall_o,
      .write_beat_o,
      .frame_base_i,
      .frame_size_i,
      .act_rd_valid_o,
      .act_rd_ready_i,
      .act_rd_address_o,
      .act_rd_data_valid_i,
      .act_rd_data_i,
      .m_axi_o(request),
      .m_axi_i(response)
  );

endmodule
