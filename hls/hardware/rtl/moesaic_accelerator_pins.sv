// The accelerator with every AXI signal a pin of its own, as the IP packager's wrapper takes them (hls/vendor/vivado/wrapper.py).
module moesaic_accelerator_pins #(
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
    input  logic        s_axi_control_rready,

    output logic [LoadPorts-1:0][39:0]  m_axi_load_araddr,
    output logic [LoadPorts-1:0][7:0]   m_axi_load_arlen,
    output logic [LoadPorts-1:0][2:0]   m_axi_load_arsize,
    output logic [LoadPorts-1:0][1:0]   m_axi_load_arburst,
    output logic [LoadPorts-1:0][3:0]   m_axi_load_arcache,
    output logic [LoadPorts-1:0][2:0]   m_axi_load_arprot,
    output logic [LoadPorts-1:0]        m_axi_load_arvalid,
    input  logic [LoadPorts-1:0]        m_axi_load_arready,
    input  logic [LoadPorts-1:0][127:0] m_axi_load_rdata,
    input  logic [LoadPorts-1:0][1:0]   m_axi_load_rresp,
    input  logic [LoadPorts-1:0]        m_axi_load_rlast,
    input  logic [LoadPorts-1:0]        m_axi_load_rvalid,
    output logic [LoadPorts-1:0]        m_axi_load_rready,

    output logic [39:0]  m_axi_main_araddr,
    output logic [7:0]   m_axi_main_arlen,
    output logic [2:0]   m_axi_main_arsize,
    output logic [1:0]   m_axi_main_arburst,
    output logic [3:0]   m_axi_main_arcache,
    output logic [2:0]   m_axi_main_arprot,
    output logic         m_axi_main_arvalid,
    input  logic         m_axi_main_arready,
    input  logic [127:0] m_axi_main_rdata,
    input  logic [1:0]   m_axi_main_rresp,
    input  logic         m_axi_main_rlast,
    input  logic         m_axi_main_rvalid,
    output logic         m_axi_main_rready,
    output logic [39:0]  m_axi_main_awaddr,
    output logic [7:0]   m_axi_main_awlen,
    output logic [2:0]   m_axi_main_awsize,
    output logic [1:0]   m_axi_main_awburst,
    output logic [3:0]   m_axi_main_awcache,
    output logic [2:0]   m_axi_main_awprot,
    output logic         m_axi_main_awvalid,
    input  logic         m_axi_main_awready,
    output logic [127:0] m_axi_main_wdata,
    output logic [15:0]  m_axi_main_wstrb,
    output logic         m_axi_main_wlast,
    output logic         m_axi_main_wvalid,
    input  logic         m_axi_main_wready,
    input  logic [1:0]   m_axi_main_bresp,
    input  logic         m_axi_main_bvalid,
    output logic         m_axi_main_bready
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

  assign m_axi_main_araddr     = read_request.ar.addr;
  assign m_axi_main_arlen      = read_request.ar.len;
  assign m_axi_main_arsize     = read_request.ar.size;
  assign m_axi_main_arburst    = read_request.ar.burst;
  assign m_axi_main_arcache    = read_request.ar.cache;
  assign m_axi_main_arprot     = read_request.ar.prot;
  assign m_axi_main_arvalid    = read_request.arvalid;
  assign m_axi_main_rready     = read_request.rready;
  assign read_response.arready = m_axi_main_arready;
  assign read_response.r.data  = m_axi_main_rdata;
  assign read_response.r.resp  = m_axi_main_rresp;
  assign read_response.r.last  = m_axi_main_rlast;
  assign read_response.rvalid  = m_axi_main_rvalid;

  assign m_axi_main_awaddr      = write_request.aw.addr;
  assign m_axi_main_awlen       = write_request.aw.len;
  assign m_axi_main_awsize      = write_request.aw.size;
  assign m_axi_main_awburst     = write_request.aw.burst;
  assign m_axi_main_awcache     = write_request.aw.cache;
  assign m_axi_main_awprot      = write_request.aw.prot;
  assign m_axi_main_awvalid     = write_request.awvalid;
  assign m_axi_main_wdata       = write_request.w.data;
  assign m_axi_main_wstrb       = write_request.w.strb;
  assign m_axi_main_wlast       = write_request.w.last;
  assign m_axi_main_wvalid      = write_request.wvalid;
  assign m_axi_main_bready      = write_request.bready;
  assign write_response.awready = m_axi_main_awready;
  assign write_response.wready  = m_axi_main_wready;
  assign write_response.bresp   = m_axi_main_bresp;
  assign write_response.bvalid  = m_axi_main_bvalid;

  for (genvar p = 0; p < LoadPorts; p++) begin : gen_load_port
    moesaic_axi_pkg::read_request_t request;
    moesaic_axi_pkg::read_response_t response;

    assign request               = load_requests[p];
    assign load_responses[p]     = response;
    assign m_axi_load_araddr[p]  = request.ar.addr;
    assign m_axi_load_arlen[p]   = request.ar.len;
    assign m_axi_load_arsize[p]  = request.ar.size;
    assign m_axi_load_arburst[p] = request.ar.burst;
    assign m_axi_load_arcache[p] = request.ar.cache;
    assign m_axi_load_arprot[p]  = request.ar.prot;
    assign m_axi_load_arvalid[p] = request.arvalid;
    assign m_axi_load_rready[p]  = request.rready;
    assign response.arready      = m_axi_load_arready[p];
    assign response.r.data       = m_axi_load_rdata[p];
    assign response.r.resp       = m_axi_load_rresp[p];
    assign response.r.last       = m_axi_load_rlast[p];
    assign response.rvalid       = m_axi_load_rvalid[p];
  end

  moesaic_accelerator #(
      .TileRows        (TileRows),
      .TileColumns     (TileColumns),
      .TileDepth       (TileDepth),
      .NormLanes       (NormLanes),
      .ActPorts        (ActPorts),
      .LoadPorts       (LoadPorts),
      .ActBytes        (ActBytes),
      .ActBanks        (ActBanks),
      .ActUltraBytes   (ActUltraBytes),
      .SharedBytes     (SharedBytes),
      .WeightBytes     (WeightBytes),
      .WeightUltra     (WeightUltra),
      .RowEntries      (RowEntries),
      .QueueTokens     (QueueTokens),
      .Experts         (Experts),
      .InstructionQueue(InstructionQueue),
      .Fingerprint     (Fingerprint)
  ) u_accelerator (
      .clk_i,
      .rst_ni,
      .irq_o,
      .s_axi_control_i   (control_request),
      .s_axi_control_o   (control_response),
      .m_axi_load_o      (load_requests),
      .m_axi_load_i      (load_responses),
      .m_axi_main_read_o (read_request),
      .m_axi_main_read_i (read_response),
      .m_axi_main_write_o(write_request),
      .m_axi_main_write_i(write_response)
  );

endmodule
