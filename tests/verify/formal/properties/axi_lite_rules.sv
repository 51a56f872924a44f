// An AXI4-Lite subordinate against the specification: ARM IHI 0022, issue H.c, whose section each property names.
//
// Assumed of the manager: it keeps what it offers (A3.2.1) and offers nothing in reset (A3.1.2); addresses, data and responses may come
// and wait in any order. Within Patience cycles of being asked, with the response taken, the subordinate takes the next request: so it
// waits for no signal of the manager's that may wait for it (A3.3.1).
module axi_lite_rules #(
    parameter int unsigned Patience = 3
) (
    input logic                            clk_i,
    input logic                            rst_ni,
    input moesaic_axi_pkg::lite_request_t  request_i,
    input moesaic_axi_pkg::lite_response_t response_i
);

  logic reset_q = 1'b0;
  logic aw_waiting_q, w_waiting_q, ar_waiting_q, b_waiting_q, r_waiting_q;
  logic asks_w, sends, asks_r, answers_b, answers_r;
  logic [1:0] addresses_q, datas_q, reads_q;    // taken and not answered
  logic [3:0] write_waits_q, read_waits_q, answer_waits_q;
  moesaic_axi_pkg::lite_request_t request_q;
  moesaic_axi_pkg::lite_response_t response_q;

  assign asks_w    = request_i.awvalid && response_i.awready;
  assign sends     = request_i.wvalid && response_i.wready;
  assign asks_r    = request_i.arvalid && response_i.arready;
  assign answers_b = response_i.bvalid && request_i.bready;
  assign answers_r = response_i.rvalid && request_i.rready;

  always_ff @(posedge clk_i) begin
    reset_q      <= !rst_ni;
    request_q    <= request_i;
    response_q   <= response_i;
    aw_waiting_q <= rst_ni && request_i.awvalid && !response_i.awready;
    w_waiting_q  <= rst_ni && request_i.wvalid && !response_i.wready;
    ar_waiting_q <= rst_ni && request_i.arvalid && !response_i.arready;
    b_waiting_q  <= rst_ni && response_i.bvalid && !request_i.bready;
    r_waiting_q  <= rst_ni && response_i.rvalid && !request_i.rready;
    addresses_q  <= addresses_q + 2'(asks_w) - 2'(answers_b);
    datas_q      <= datas_q + 2'(sends) - 2'(answers_b);
    reads_q      <= reads_q + 2'(asks_r) - 2'(answers_r);
    write_waits_q  <= request_i.awvalid && request_i.wvalid && !response_i.bvalid && !asks_w ? write_waits_q + 4'd1 : '0;
    read_waits_q   <= request_i.arvalid && !response_i.rvalid && !asks_r ? read_waits_q + 4'd1 : '0;
    answer_waits_q <= (addresses_q != '0 && !response_i.bvalid) || (reads_q != '0 && !response_i.rvalid)
        ? answer_waits_q + 4'd1 : '0;
    if (!rst_ni) begin
      addresses_q    <= '0;
      datas_q        <= '0;
      reads_q        <= '0;
      write_waits_q  <= '0;
      read_waits_q   <= '0;
      answer_waits_q <= '0;
    end
  end

  always_comb begin
    // A3.2.1
    write_address_is_held: assume (!rst_ni || !aw_waiting_q || (request_i.awvalid && request_i.awaddr == request_q.awaddr
        && request_i.awprot == request_q.awprot));
    write_data_is_held: assume (!rst_ni || !w_waiting_q || (request_i.wvalid && request_i.wdata == request_q.wdata
        && request_i.wstrb == request_q.wstrb));
    read_address_is_held: assume (!rst_ni || !ar_waiting_q || (request_i.arvalid && request_i.araddr == request_q.araddr
        && request_i.arprot == request_q.arprot));
    // A3.1.2
    nothing_is_asked_in_reset: assume (rst_ni || !(request_i.awvalid || request_i.wvalid || request_i.arvalid));
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni && reset_q) valids_are_low_in_reset: assert (!response_i.bvalid && !response_i.rvalid);              // A3.1.2
    if (rst_ni) begin
      bvalid_is_held: assert (!b_waiting_q || (response_i.bvalid && response_i.bresp == response_q.bresp));          // A3.2.1
      rvalid_is_held: assert (!r_waiting_q || response_i.rvalid);                                                    // A3.2.1
      read_data_is_held: assert (!r_waiting_q
          || (response_i.rdata == response_q.rdata && response_i.rresp == response_q.rresp));                        // A3.2.1
      writes_are_answered_when_whole: assert (!response_i.bvalid || (addresses_q != '0 && datas_q != '0));           // A3.3.1
      reads_are_answered_when_asked: assert (!response_i.rvalid || reads_q != '0);                                   // A3.3.1
      one_write_at_a_time: assert (addresses_q <= 2'd1 && datas_q <= 2'd1);
      one_read_at_a_time: assert (reads_q <= 2'd1);
      write_response_is_lite: assert (!response_i.bvalid || response_i.bresp != 2'b01);                              // B1.1.1
      read_response_is_lite: assert (!response_i.rvalid || response_i.rresp != 2'b01);                               // B1.1.1
      writes_wait_for_nothing: assert (write_waits_q < 4'(Patience));                                                // A3.3.1
      reads_wait_for_nothing: assert (read_waits_q < 4'(Patience));                                                  // A3.3.1
      answers_wait_for_nothing: assert (answer_waits_q < 4'(Patience));                                              // A3.3.1
      write_and_read_at_once: cover (answers_b && answers_r);
      data_before_its_address: cover (w_waiting_q && !aw_waiting_q && request_i.awvalid);
      address_before_its_data: cover (aw_waiting_q && !w_waiting_q && request_i.wvalid);
      response_waits: cover (b_waiting_q && r_waiting_q);
      two_writes_in_a_row: cover (answers_b && aw_waiting_q && w_waiting_q);
    end
  end

endmodule
