// A layer that NNgen generated, behind the DRAM model of the testbench around the accelerator: one port that reads and writes.
module nngen_bench (
  input  logic        clk_i,
  input  logic        rst_ni,
  output logic        irq_o,
  input  logic [31:0] s_axi_control_awaddr,
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
  input  logic [31:0] s_axi_control_araddr,
  input  logic [2:0]  s_axi_control_arprot,
  input  logic        s_axi_control_arvalid,
  output logic        s_axi_control_arready,
  output logic [31:0] s_axi_control_rdata,
  output logic [1:0]  s_axi_control_rresp,
  output logic        s_axi_control_rvalid,
  input  logic        s_axi_control_rready
);

  moesaic_axi_pkg::read_request_t   read_request;
  moesaic_axi_pkg::read_response_t  read_response;
  moesaic_axi_pkg::write_request_t  write_request;
  moesaic_axi_pkg::write_response_t write_response;

  assign read_request.ar.addr[39:32]  = '0;
  assign write_request.aw.addr[39:32] = '0;

  nngen_layer u_layer (
    .CLK(clk_i),
    .RESETN(rst_ni),
    .irq(irq_o),
    .maxi_awaddr(write_request.aw.addr[31:0]),
    .maxi_awlen(write_request.aw.len),
    .maxi_awsize(write_request.aw.size),
    .maxi_awburst(write_request.aw.burst),
    .maxi_awlock(),
    .maxi_awcache(write_request.aw.cache),
    .maxi_awprot(write_request.aw.prot),
    .maxi_awqos(),
    .maxi_awuser(),
    .maxi_awvalid(write_request.awvalid),
    .maxi_awready(write_response.awready),
    .maxi_wdata(write_request.w.data),
    .maxi_wstrb(write_request.w.strb),
    .maxi_wlast(write_request.w.last),
    .maxi_wvalid(write_request.wvalid),
    .maxi_wready(write_response.wready),
    .maxi_bresp(write_response.bresp),
    .maxi_bvalid(write_response.bvalid),
    .maxi_bready(write_request.bready),
    .maxi_araddr(read_request.ar.addr[31:0]),
    .maxi_arlen(read_request.ar.len),
    .maxi_arsize(read_request.ar.size),
    .maxi_arburst(read_request.ar.burst),
    .maxi_arlock(),
    .maxi_arcache(read_request.ar.cache),
    .maxi_arprot(read_request.ar.prot),
    .maxi_arqos(),
    .maxi_aruser(),
    .maxi_arvalid(read_request.arvalid),
    .maxi_arready(read_response.arready),
    .maxi_rdata(read_response.r.data),
    .maxi_rresp(read_response.r.resp),
    .maxi_rlast(read_response.r.last),
    .maxi_rvalid(read_response.rvalid),
    .maxi_rready(read_request.rready),
    .saxi_awaddr(s_axi_control_awaddr),
    .saxi_awcache(4'b0011),
    .saxi_awprot(s_axi_control_awprot),
    .saxi_awvalid(s_axi_control_awvalid),
    .saxi_awready(s_axi_control_awready),
    .saxi_wdata(s_axi_control_wdata),
    .saxi_wstrb(s_axi_control_wstrb),
    .saxi_wvalid(s_axi_control_wvalid),
    .saxi_wready(s_axi_control_wready),
    .saxi_bresp(s_axi_control_bresp),
    .saxi_bvalid(s_axi_control_bvalid),
    .saxi_bready(s_axi_control_bready),
    .saxi_araddr(s_axi_control_araddr),
    .saxi_arcache(4'b0011),
    .saxi_arprot(s_axi_control_arprot),
    .saxi_arvalid(s_axi_control_arvalid),
    .saxi_arready(s_axi_control_arready),
    .saxi_rdata(s_axi_control_rdata),
    .saxi_rresp(s_axi_control_rresp),
    .saxi_rvalid(s_axi_control_rvalid),
    .saxi_rready(s_axi_control_rready)
  );

  dram #(
    .Ports(1)
  ) u_dram (
    .clk_i,
    .rst_ni,
    .s_axi_read_i(read_request),
    .s_axi_read_o(read_response),
    .s_axi_write_i(write_request),
    .s_axi_write_o(write_response)
  );

endmodule
