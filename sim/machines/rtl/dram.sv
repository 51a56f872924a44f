// One AXI4 port of the DRAM model (dram.cpp has the behaviour); ports share the memory and its bandwidth.
//
// 128-bit beats, 40-bit addresses, INCR bursts of up to 256 beats that stay inside 4 KiB; bursts are answered in order.
module dram #(
  parameter int Port = 0
) (
  input  logic         clk_i,
  input  logic         rst_ni,

  input  moesaic_axi_pkg::read_request_t   s_axi_read_i,
  output moesaic_axi_pkg::read_response_t  s_axi_read_o,
  input  moesaic_axi_pkg::write_request_t  s_axi_write_i,
  output moesaic_axi_pkg::write_response_t s_axi_write_o
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

  assign s_axi_read_o.arready  = ar_ready_q;
  assign s_axi_read_o.rvalid   = r_valid_q;
  assign s_axi_read_o.r.data   = r_data_q;
  assign s_axi_read_o.r.resp   = r_response_q;
  assign s_axi_read_o.r.last   = r_last_q;
  assign s_axi_write_o.awready = aw_ready_q;
  assign s_axi_write_o.wready  = w_ready_q;
  assign s_axi_write_o.bvalid  = b_valid_q;
  assign s_axi_write_o.bresp   = b_response_q;

  // Bytes from the start of the 4 KiB page to the end of the burst.
  function automatic logic [13:0] page_end(input logic [7:0] page_beat, input logic [7:0] length);
    page_end = {2'b0, page_beat, 4'b0} + ({6'b0, length} + 14'd1) * 14'd16;
  endfunction

  always @(posedge clk_i) begin
    /* verilator lint_off BLKSEQ */
    violation = dram_cycle(Port, running,
        s_axi_read_i.arvalid, {24'b0, s_axi_read_i.ar.addr}, {24'b0, s_axi_read_i.ar.len}, s_axi_read_i.rready,
        s_axi_write_i.awvalid, {24'b0, s_axi_write_i.aw.addr}, {24'b0, s_axi_write_i.aw.len},
        s_axi_write_i.wvalid, s_axi_write_i.w.data, {16'b0, s_axi_write_i.w.strb}, s_axi_write_i.w.last, s_axi_write_i.bready,
        ar_ready, r_valid, r_data, r_response, r_last, aw_ready, w_ready, b_valid, b_response);
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
    if (running && s_axi_read_i.arvalid) begin
      if (s_axi_read_i.ar.burst != moesaic_axi_pkg::BURST_INCR)
        $fatal(1, "%m: arburst is %0d, only INCR (1) is served", s_axi_read_i.ar.burst);
      if (s_axi_read_i.ar.size != moesaic_axi_pkg::SIZE_16_BYTES)
        $fatal(1, "%m: arsize is %0d, only 16-byte beats (4) are served", s_axi_read_i.ar.size);
      if (page_end(s_axi_read_i.ar.addr[11:4], s_axi_read_i.ar.len) > 14'd4096)
        $fatal(1, "%m: read burst at %h of %0d beats crosses 4 KiB", s_axi_read_i.ar.addr, {1'b0, s_axi_read_i.ar.len} + 9'd1);
    end
    if (running && s_axi_write_i.awvalid) begin
      if (s_axi_write_i.aw.burst != moesaic_axi_pkg::BURST_INCR)
        $fatal(1, "%m: awburst is %0d, only INCR (1) is served", s_axi_write_i.aw.burst);
      if (s_axi_write_i.aw.size != moesaic_axi_pkg::SIZE_16_BYTES)
        $fatal(1, "%m: awsize is %0d, only 16-byte beats (4) are served", s_axi_write_i.aw.size);
      if (page_end(s_axi_write_i.aw.addr[11:4], s_axi_write_i.aw.len) > 14'd4096)
        $fatal(1, "%m: write burst at %h of %0d beats crosses 4 KiB", s_axi_write_i.aw.addr, {1'b0, s_axi_write_i.aw.len} + 9'd1);
    end
  end

  moesaic_handshake_rules #(
    .Width($bits(s_axi_read_i.ar))
  ) u_ar_rules (
    .clk_i,
    .rst_ni,
    .valid_i(s_axi_read_i.arvalid),
    .ready_i(ar_ready_q),
    .payload_i(s_axi_read_i.ar)
  );
  moesaic_handshake_rules #(
    .Width($bits(s_axi_write_i.aw))
  ) u_aw_rules (
    .clk_i,
    .rst_ni,
    .valid_i(s_axi_write_i.awvalid),
    .ready_i(aw_ready_q),
    .payload_i(s_axi_write_i.aw)
  );
  moesaic_handshake_rules #(
    .Width($bits(s_axi_write_i.w))
  ) u_w_rules (
    .clk_i,
    .rst_ni,
    .valid_i(s_axi_write_i.wvalid),
    .ready_i(w_ready_q),
    .payload_i(s_axi_write_i.w)
  );

endmodule
