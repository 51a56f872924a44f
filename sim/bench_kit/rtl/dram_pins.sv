// A port of the DRAM model with every AXI signal a pin of its own, for benches in Python.
module dram_pins #(
  parameter int Port = 0
) (
  input  logic         clk_i,
  input  logic         rst_ni,

  input  logic [39:0]  s_axi_araddr,
  input  logic [7:0]   s_axi_arlen,
  input  logic [2:0]   s_axi_arsize,
  input  logic [1:0]   s_axi_arburst,
  input  logic         s_axi_arvalid,
  output logic         s_axi_arready,
  output logic [127:0] s_axi_rdata,
  output logic [1:0]   s_axi_rresp,
  output logic         s_axi_rlast,
  output logic         s_axi_rvalid,
  input  logic         s_axi_rready,

  input  logic [39:0]  s_axi_awaddr,
  input  logic [7:0]   s_axi_awlen,
  input  logic [2:0]   s_axi_awsize,
  input  logic [1:0]   s_axi_awburst,
  input  logic         s_axi_awvalid,
  output logic         s_axi_awready,
  input  logic [127:0] s_axi_wdata,
  input  logic [15:0]  s_axi_wstrb,
  input  logic         s_axi_wlast,
  input  logic         s_axi_wvalid,
  output logic         s_axi_wready,
  output logic [1:0]   s_axi_bresp,
  output logic         s_axi_bvalid,
  input  logic         s_axi_bready
);

  moesaic_axi_pkg::read_request_t read_request;
  moesaic_axi_pkg::read_response_t read_response;
  moesaic_axi_pkg::write_request_t write_request;
  moesaic_axi_pkg::write_response_t write_response;

  assign read_request.ar.addr  = s_axi_araddr;
  assign read_request.ar.len   = s_axi_arlen;
  assign read_request.ar.size  = s_axi_arsize;
  assign read_request.ar.burst = s_axi_arburst;
  assign read_request.ar.cache = '0;
  assign read_request.ar.prot  = '0;
  assign read_request.arvalid  = s_axi_arvalid;
  assign read_request.rready   = s_axi_rready;
  assign s_axi_arready         = read_response.arready;
  assign s_axi_rdata           = read_response.r.data;
  assign s_axi_rresp           = read_response.r.resp;
  assign s_axi_rlast           = read_response.r.last;
  assign s_axi_rvalid          = read_response.rvalid;

  assign write_request.aw.addr  = s_axi_awaddr;
  assign write_request.aw.len   = s_axi_awlen;
  assign write_request.aw.size  = s_axi_awsize;
  assign write_request.aw.burst = s_axi_awburst;
  assign write_request.aw.cache = '0;
  assign write_request.aw.prot  = '0;
  assign write_request.awvalid  = s_axi_awvalid;
  assign write_request.w.data   = s_axi_wdata;
  assign write_request.w.strb   = s_axi_wstrb;
  assign write_request.w.last   = s_axi_wlast;
  assign write_request.wvalid   = s_axi_wvalid;
  assign write_request.bready   = s_axi_bready;
  assign s_axi_awready          = write_response.awready;
  assign s_axi_wready           = write_response.wready;
  assign s_axi_bresp            = write_response.bresp;
  assign s_axi_bvalid           = write_response.bvalid;

  dram #(
      .First(Port)
  ) u_dram (
      .clk_i,
      .rst_ni,
      .s_axi_read_i (read_request),
      .s_axi_read_o (read_response),
      .s_axi_write_i(write_request),
      .s_axi_write_o(write_response)
  );

endmodule
