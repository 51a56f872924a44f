// One AXI4 port of the DRAM model (dram.cpp has the behaviour); ports share the memory and its bandwidth.
//
// 128-bit beats, 40-bit addresses, INCR bursts of up to 256 beats that stay inside 4 KiB; bursts are answered in order.
module dram #(
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

  import "DPI-C" function int dram_cycle(
    input  int           index,
    input  bit           reset_n,
    input  bit           ar_valid,
    input  longint       ar_address,
    input  int           ar_length,
    input  bit           r_ready,
    input  bit           aw_valid,
    input  longint       aw_address,
    input  int           aw_length,
    input  bit           w_valid,
    input  bit   [127:0] w_data,
    input  int           w_strobe,
    input  bit           w_last,
    input  bit           b_ready,
    output bit           ar_ready,
    output bit           r_valid,
    output bit   [127:0] r_data,
    output bit   [1:0]   r_response,
    output bit           r_last,
    output bit           aw_ready,
    output bit           w_ready,
    output bit           b_valid,
    output bit   [1:0]   b_response
  );

  localparam logic [1:0] BurstIncr = 2'b01;
  localparam logic [2:0] SizeBeat = 3'd4;

  bit         ar_ready, r_valid, r_last, aw_ready, w_ready, b_valid;
  bit [127:0] r_data;
  bit [1:0]   r_response, b_response;
  int         violation;

  logic         ar_ready_q, r_valid_q, r_last_q, aw_ready_q, w_ready_q, b_valid_q;
  logic [127:0] r_data_q;
  logic [1:0]   r_response_q, b_response_q;

  // Before the first reset everything, the clock too, is random and nothing is judged.
  logic reset_seen_q, running;
  initial reset_seen_q = 1'b0;
  assign running = rst_ni && reset_seen_q;

  assign s_axi_arready = ar_ready_q;
  assign s_axi_rvalid  = r_valid_q;
  assign s_axi_rdata   = r_data_q;
  assign s_axi_rresp   = r_response_q;
  assign s_axi_rlast   = r_last_q;
  assign s_axi_awready = aw_ready_q;
  assign s_axi_wready  = w_ready_q;
  assign s_axi_bvalid  = b_valid_q;
  assign s_axi_bresp   = b_response_q;

  // Bytes from the start of the 4 KiB page to the end of the burst.
  function automatic logic [13:0] page_end(input logic [7:0] page_beat, input logic [7:0] length);
    page_end = {2'b0, page_beat, 4'b0} + ({6'b0, length} + 14'd1) * 14'd16;
  endfunction

  always @(posedge clk_i) begin
    /* verilator lint_off BLKSEQ */
    violation = dram_cycle(Port, running, s_axi_arvalid, {24'b0, s_axi_araddr}, {24'b0, s_axi_arlen}, s_axi_rready,
        s_axi_awvalid, {24'b0, s_axi_awaddr}, {24'b0, s_axi_awlen}, s_axi_wvalid, s_axi_wdata, {16'b0, s_axi_wstrb},
        s_axi_wlast, s_axi_bready, ar_ready, r_valid, r_data, r_response, r_last, aw_ready, w_ready, b_valid,
        b_response);
    /* verilator lint_on BLKSEQ */
    if (!rst_ni) reset_seen_q <= 1'b1;
    ar_ready_q   <= ar_ready;
    r_valid_q    <= r_valid;
    r_data_q     <= r_data;
    r_response_q <= r_response;
    r_last_q     <= r_last;
    aw_ready_q   <= aw_ready;
    w_ready_q    <= w_ready;
    b_valid_q    <= b_valid;
    b_response_q <= b_response;
    if (violation == 1) $fatal(1, "%m: wlast came before the last beat of the burst");
    if (violation == 2) $fatal(1, "%m: wlast missing on the last beat of the burst");
    if (running && s_axi_arvalid) begin
      if (s_axi_arburst != BurstIncr) $fatal(1, "%m: arburst is %0d, only INCR (1) is served", s_axi_arburst);
      if (s_axi_arsize != SizeBeat) $fatal(1, "%m: arsize is %0d, only 16-byte beats (4) are served", s_axi_arsize);
      if (page_end(s_axi_araddr[11:4], s_axi_arlen) > 14'd4096)
        $fatal(1, "%m: read burst at %h of %0d beats crosses 4 KiB", s_axi_araddr, {1'b0, s_axi_arlen} + 9'd1);
    end
    if (running && s_axi_awvalid) begin
      if (s_axi_awburst != BurstIncr) $fatal(1, "%m: awburst is %0d, only INCR (1) is served", s_axi_awburst);
      if (s_axi_awsize != SizeBeat) $fatal(1, "%m: awsize is %0d, only 16-byte beats (4) are served", s_axi_awsize);
      if (page_end(s_axi_awaddr[11:4], s_axi_awlen) > 14'd4096)
        $fatal(1, "%m: write burst at %h of %0d beats crosses 4 KiB", s_axi_awaddr, {1'b0, s_axi_awlen} + 9'd1);
    end
  end

  handshake_checker #(.Width(53)) i_ar_checker (
    .clk_i, .rst_ni(running), .valid_i(s_axi_arvalid), .ready_i(ar_ready_q),
    .payload_i({s_axi_araddr, s_axi_arlen, s_axi_arsize, s_axi_arburst})
  );
  handshake_checker #(.Width(53)) i_aw_checker (
    .clk_i, .rst_ni(running), .valid_i(s_axi_awvalid), .ready_i(aw_ready_q),
    .payload_i({s_axi_awaddr, s_axi_awlen, s_axi_awsize, s_axi_awburst})
  );
  handshake_checker #(.Width(145)) i_w_checker (
    .clk_i, .rst_ni(running), .valid_i(s_axi_wvalid), .ready_i(w_ready_q), .payload_i({s_axi_wdata, s_axi_wstrb, s_axi_wlast})
  );

endmodule
