// AXI4 ports of the DRAM model (dram.cpp has the behaviour), which share the memory and its bandwidth.
//
// 128-bit beats, 40-bit addresses, INCR bursts of up to 256 beats that stay inside 4 KiB; bursts are answered in order. The ports are
// served in ascending order within a cycle: left to the simulator, the order would decide who gets the last bytes of a cycle. All
// ports read; the last one also writes.
module dram #(
  parameter int First = 0,  // number of port 0 in dram.cpp
  parameter int Ports = 1
) (
  input  logic clk_i,
  input  logic rst_ni,

  input  logic [Ports-1:0][moesaic_axi_pkg::READ_REQUEST_BITS-1:0]  s_axi_read_i,
  output logic [Ports-1:0][moesaic_axi_pkg::READ_RESPONSE_BITS-1:0] s_axi_read_o,
  input  moesaic_axi_pkg::write_request_t                           s_axi_write_i,
  output moesaic_axi_pkg::write_response_t                          s_axi_write_o
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

  moesaic_axi_pkg::read_request_t   read;
  moesaic_axi_pkg::read_response_t  answer;
  moesaic_axi_pkg::write_request_t  write;
  moesaic_axi_pkg::write_response_t write_q;
  logic [Ports-1:0][moesaic_axi_pkg::READ_RESPONSE_BITS-1:0] read_q;
  logic [Ports-1:0] ar_ready_q;

  // Before the first reset everything, the clock too, is random and nothing is judged.
  logic reset_seen_q, running;
  initial reset_seen_q = 1'b0;
  assign running = rst_ni && reset_seen_q;

  assign s_axi_read_o  = read_q;
  assign s_axi_write_o = write_q;

  // Bytes from the start of the 4 KiB page to the end of the burst.
  function automatic logic [13:0] page_end(input logic [7:0] page_beat, input logic [7:0] length);
    page_end = {2'b0, page_beat, 4'b0} + ({6'b0, length} + 14'd1) * 14'd16;
  endfunction

  always @(posedge clk_i) begin
    if (!rst_ni) reset_seen_q <= 1'b1;
    for (int p = 0; p < Ports; p++) begin
      /* verilator lint_off BLKSEQ */
      read = s_axi_read_i[p];
      write = p == Ports - 1 ? s_axi_write_i : moesaic_axi_pkg::NO_WRITE_REQUEST;
      violation = dram_cycle(First + p, running,
          read.arvalid, {24'b0, read.ar.addr}, {24'b0, read.ar.len}, read.rready,
          write.awvalid, {24'b0, write.aw.addr}, {24'b0, write.aw.len},
          write.wvalid, write.w.data, {16'b0, write.w.strb}, write.w.last, write.bready,
          ar_ready, r_valid, r_data, r_response, r_last, aw_ready, w_ready, b_valid, b_response);
      answer.arready = ar_ready;
      answer.rvalid  = r_valid;
      answer.r.data  = r_data;
      answer.r.resp  = r_response;
      answer.r.last  = r_last;
      /* verilator lint_on BLKSEQ */
      read_q[p]     <= answer;
      ar_ready_q[p] <= ar_ready;
      if (p == Ports - 1) begin
        write_q.awready <= aw_ready;
        write_q.wready  <= w_ready;
        write_q.bvalid  <= b_valid;
        write_q.bresp   <= b_response;
      end
      if (violation == 1) $fatal(1, "%m: wlast came before the last beat of the burst");
      if (violation == 2) $fatal(1, "%m: wlast missing on the last beat of the burst");
      if (running && read.arvalid) begin
        if (read.ar.burst != moesaic_axi_pkg::BURST_INCR) $fatal(1, "%m: arburst is %0d, only INCR (1) is served", read.ar.burst);
        if (read.ar.size != moesaic_axi_pkg::SIZE_16_BYTES)
          $fatal(1, "%m: arsize is %0d, only 16-byte beats (4) are served", read.ar.size);
        if (page_end(read.ar.addr[11:4], read.ar.len) > 14'd4096)
          $fatal(1, "%m: read burst at %h of %0d beats crosses 4 KiB", read.ar.addr, {1'b0, read.ar.len} + 9'd1);
      end
      if (running && write.awvalid) begin
        if (write.aw.burst != moesaic_axi_pkg::BURST_INCR) $fatal(1, "%m: awburst is %0d, only INCR (1) is served", write.aw.burst);
        if (write.aw.size != moesaic_axi_pkg::SIZE_16_BYTES)
          $fatal(1, "%m: awsize is %0d, only 16-byte beats (4) are served", write.aw.size);
        if (page_end(write.aw.addr[11:4], write.aw.len) > 14'd4096)
          $fatal(1, "%m: write burst at %h of %0d beats crosses 4 KiB", write.aw.addr, {1'b0, write.aw.len} + 9'd1);
      end
    end
  end

  for (genvar p = 0; p < Ports; p++) begin : gen_read_rules
    /* verilator lint_off UNUSEDSIGNAL */  // rready: a consumer may take it back
    moesaic_axi_pkg::read_request_t request;
    /* verilator lint_on UNUSEDSIGNAL */
    assign request = s_axi_read_i[p];
    moesaic_handshake_rules #(
      .Width($bits(request.ar))
    ) u_ar_rules (
      .clk_i,
      .rst_ni,
      .valid_i(request.arvalid),
      .ready_i(ar_ready_q[p]),
      .payload_i(request.ar)
    );
  end
  moesaic_handshake_rules #(
    .Width($bits(s_axi_write_i.aw))
  ) u_aw_rules (
    .clk_i,
    .rst_ni,
    .valid_i(s_axi_write_i.awvalid),
    .ready_i(write_q.awready),
    .payload_i(s_axi_write_i.aw)
  );
  moesaic_handshake_rules #(
    .Width($bits(s_axi_write_i.w))
  ) u_w_rules (
    .clk_i,
    .rst_ni,
    .valid_i(s_axi_write_i.wvalid),
    .ready_i(write_q.wready),
    .payload_i(s_axi_write_i.w)
  );

endmodule
