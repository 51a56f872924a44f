// A system of one's own around the bare accelerator: registers on an AXI4-Lite port, and one AXI4 port to memory behind an arbiter.
//
// The accelerator has its default sizes, those of configs/tiny.toml; for another configuration, give it all the parameters that stand in
// rtl/parameters.f of a build. Fingerprint is the configuration's, by which software knows what it talks to.
module own_system #(
    parameter logic [63:0] Fingerprint = 64'd0
) (
    input  logic clk_i,
    input  logic rst_ni,
    output logic irq_o,

    input  logic [11:0] s_axil_awaddr,
    input  logic [2:0]  s_axil_awprot,
    input  logic        s_axil_awvalid,
    output logic        s_axil_awready,
    input  logic [31:0] s_axil_wdata,
    input  logic [3:0]  s_axil_wstrb,
    input  logic        s_axil_wvalid,
    output logic        s_axil_wready,
    output logic [1:0]  s_axil_bresp,
    output logic        s_axil_bvalid,
    input  logic        s_axil_bready,
    input  logic [11:0] s_axil_araddr,
    input  logic [2:0]  s_axil_arprot,
    input  logic        s_axil_arvalid,
    output logic        s_axil_arready,
    output logic [31:0] s_axil_rdata,
    output logic [1:0]  s_axil_rresp,
    output logic        s_axil_rvalid,
    input  logic        s_axil_rready,

    output logic [1:0]   m_axi_arid,
    output logic [39:0]  m_axi_araddr,
    output logic [7:0]   m_axi_arlen,
    output logic [2:0]   m_axi_arsize,
    output logic [1:0]   m_axi_arburst,
    output logic         m_axi_arvalid,
    input  logic         m_axi_arready,
    input  logic [1:0]   m_axi_rid,
    input  logic [127:0] m_axi_rdata,
    input  logic [1:0]   m_axi_rresp,
    input  logic         m_axi_rlast,
    input  logic         m_axi_rvalid,
    output logic         m_axi_rready,
    output logic [1:0]   m_axi_awid,
    output logic [39:0]  m_axi_awaddr,
    output logic [7:0]   m_axi_awlen,
    output logic [2:0]   m_axi_awsize,
    output logic [1:0]   m_axi_awburst,
    output logic         m_axi_awvalid,
    input  logic         m_axi_awready,
    output logic [127:0] m_axi_wdata,
    output logic [15:0]  m_axi_wstrb,
    output logic         m_axi_wlast,
    output logic         m_axi_wvalid,
    input  logic         m_axi_wready,
    input  logic [1:0]   m_axi_bid,
    input  logic [1:0]   m_axi_bresp,
    input  logic         m_axi_bvalid,
    output logic         m_axi_bready
);

  localparam int unsigned LoadPorts = 3;
  localparam int unsigned Masters   = LoadPorts + 1;    // the last one reads instructions, and it alone writes

  logic [Masters-1:0][39:0]  araddr;
  logic [Masters-1:0][7:0]   arlen;
  logic [Masters-1:0]        arvalid, arready, rlast, rvalid, rready;
  logic [Masters-1:0][127:0] rdata;
  logic [Masters-1:0][1:0]   rresp;
  logic unused;

  moesaic_accelerator_pins #(
      .LoadPorts  (LoadPorts),
      .Fingerprint(Fingerprint)
  ) u_accelerator (
      .clk_i,
      .rst_ni,
      .irq_o,
      .s_axi_control_awaddr (s_axil_awaddr),
      .s_axi_control_awprot (s_axil_awprot),
      .s_axi_control_awvalid(s_axil_awvalid),
      .s_axi_control_awready(s_axil_awready),
      .s_axi_control_wdata  (s_axil_wdata),
      .s_axi_control_wstrb  (s_axil_wstrb),
      .s_axi_control_wvalid (s_axil_wvalid),
      .s_axi_control_wready (s_axil_wready),
      .s_axi_control_bresp  (s_axil_bresp),
      .s_axi_control_bvalid (s_axil_bvalid),
      .s_axi_control_bready (s_axil_bready),
      .s_axi_control_araddr (s_axil_araddr),
      .s_axi_control_arprot (s_axil_arprot),
      .s_axi_control_arvalid(s_axil_arvalid),
      .s_axi_control_arready(s_axil_arready),
      .s_axi_control_rdata  (s_axil_rdata),
      .s_axi_control_rresp  (s_axil_rresp),
      .s_axi_control_rvalid (s_axil_rvalid),
      .s_axi_control_rready (s_axil_rready),
      .m_axi_load_araddr    (araddr[LoadPorts-1:0]),
      .m_axi_load_arlen     (arlen[LoadPorts-1:0]),
      .m_axi_load_arsize    (),
      .m_axi_load_arburst   (),
      .m_axi_load_arcache   (),
      .m_axi_load_arprot    (),
      .m_axi_load_arvalid   (arvalid[LoadPorts-1:0]),
      .m_axi_load_arready   (arready[LoadPorts-1:0]),
      .m_axi_load_rdata     (rdata[LoadPorts-1:0]),
      .m_axi_load_rresp     (rresp[LoadPorts-1:0]),
      .m_axi_load_rlast     (rlast[LoadPorts-1:0]),
      .m_axi_load_rvalid    (rvalid[LoadPorts-1:0]),
      .m_axi_load_rready    (rready[LoadPorts-1:0]),
      .m_axi_main_araddr    (araddr[LoadPorts]),
      .m_axi_main_arlen     (arlen[LoadPorts]),
      .m_axi_main_arsize    (),
      .m_axi_main_arburst   (),
      .m_axi_main_arcache   (),
      .m_axi_main_arprot    (),
      .m_axi_main_arvalid   (arvalid[LoadPorts]),
      .m_axi_main_arready   (arready[LoadPorts]),
      .m_axi_main_rdata     (rdata[LoadPorts]),
      .m_axi_main_rresp     (rresp[LoadPorts]),
      .m_axi_main_rlast     (rlast[LoadPorts]),
      .m_axi_main_rvalid    (rvalid[LoadPorts]),
      .m_axi_main_rready    (rready[LoadPorts]),
      .m_axi_main_awaddr    (m_axi_awaddr),
      .m_axi_main_awlen     (m_axi_awlen),
      .m_axi_main_awsize    (m_axi_awsize),
      .m_axi_main_awburst   (m_axi_awburst),
      .m_axi_main_awcache   (),
      .m_axi_main_awprot    (),
      .m_axi_main_awvalid   (m_axi_awvalid),
      .m_axi_main_awready   (m_axi_awready),
      .m_axi_main_wdata     (m_axi_wdata),
      .m_axi_main_wstrb     (m_axi_wstrb),
      .m_axi_main_wlast     (m_axi_wlast),
      .m_axi_main_wvalid    (m_axi_wvalid),
      .m_axi_main_wready    (m_axi_wready),
      .m_axi_main_bresp     (m_axi_bresp),
      .m_axi_main_bvalid    (m_axi_bvalid),
      .m_axi_main_bready    (m_axi_bready)
  );

  read_arbiter #(
      .Masters(Masters),
      .IdBits (2)
  ) u_arbiter (
      .clk_i,
      .rst_ni,
      .s_axi_araddr (araddr),
      .s_axi_arlen  (arlen),
      .s_axi_arvalid(arvalid),
      .s_axi_arready(arready),
      .s_axi_rdata  (rdata),
      .s_axi_rresp  (rresp),
      .s_axi_rlast  (rlast),
      .s_axi_rvalid (rvalid),
      .s_axi_rready (rready),
      .m_axi_arid,
      .m_axi_araddr,
      .m_axi_arlen,
      .m_axi_arsize,
      .m_axi_arburst,
      .m_axi_arvalid,
      .m_axi_arready,
      .m_axi_rid,
      .m_axi_rdata,
      .m_axi_rresp,
      .m_axi_rlast,
      .m_axi_rvalid,
      .m_axi_rready
  );

  assign m_axi_awid = 2'd0;
  assign unused     = ^m_axi_bid;    // one master writes, so every response is its own

endmodule
