// An AXI4 manager that writes, against the specification: ARM IHI 0022, issue H.c, whose section each property names.
//
// Asserted of the manager; assumed of the subordinate is that it answers only bursts whose address and whole data it has taken, and keeps
// what it offers. Ports without ID signals have one identifier (A5.1), and AXI4 has no write interleaving (A5.4), so data comes in the
// order of the addresses. This project's managers offer an address before its data.
//
// WLAST is shown for one burst that the solver chooses, hence for all. One rule is the accelerator's own: idle_i is the end of all
// transactions. The address channel is axi_address_rules'.
module axi_write_rules #(
    parameter int unsigned MostBeats = 256,     // of a burst
    parameter int unsigned MostOpen = 16,       // bursts
    localparam int unsigned OpenBits = $clog2(MostOpen + 1)
) (
    input  logic                             clk_i,
    input  logic                             rst_ni,
    input  moesaic_axi_pkg::write_request_t  request_i,
    input  moesaic_axi_pkg::write_response_t response_i,
    input  logic                             halted_i,
    input  logic                             idle_i,
    input  logic                             choose_i
);

  logic [OpenBits-1:0] data_open_q;    // bursts offered whose last beat was not taken
  logic reset_q = 1'b0;
  logic w_waiting_q, b_waiting_q, halted_q, opens, asks, sends, ends, answers, chosen_q, was_chosen_q;
  logic [7:0] length_q, beat_q;
  logic [OpenBits-1:0] ahead_q;
  logic [1:0] resp_q;
  moesaic_axi_pkg::write_beat_t w_q;

  axi_address_rules #(
      .MostBeats(MostBeats)
  ) u_address (
      .clk_i,
      .rst_ni,
      .valid_i (request_i.awvalid),
      .ready_i (response_i.awready),
      .burst_i (request_i.aw),
      .halted_i,
      .opens_o (opens)
  );

  assign asks    = request_i.awvalid && response_i.awready;
  assign sends   = request_i.wvalid && response_i.wready;
  assign ends    = sends && request_i.w.last;
  assign answers = response_i.bvalid && request_i.bready;

  // Bursts that a subordinate has taken wholly: the lesser of addresses and of last beats taken, counted from the bursts answered.
  logic [OpenBits-1:0] addresses_q, datas_q;

  always_ff @(posedge clk_i) begin
    reset_q      <= !rst_ni;
    w_waiting_q  <= rst_ni && request_i.wvalid && !response_i.wready;
    b_waiting_q  <= rst_ni && response_i.bvalid && !request_i.bready;
    w_q          <= request_i.w;
    resp_q       <= response_i.bresp;
    halted_q     <= rst_ni && halted_i;
    data_open_q  <= data_open_q + OpenBits'(opens) - OpenBits'(ends);
    addresses_q  <= addresses_q + OpenBits'(asks) - OpenBits'(answers);
    datas_q      <= datas_q + OpenBits'(ends) - OpenBits'(answers);
    if (!was_chosen_q && choose_i && opens) begin
      was_chosen_q <= 1'b1;
      chosen_q     <= 1'b1;
      length_q     <= request_i.aw.len;
      ahead_q      <= data_open_q - OpenBits'(ends);
      beat_q       <= '0;
    end
    if (chosen_q && ends) begin
      if (ahead_q == '0) chosen_q <= 1'b0;
      ahead_q <= ahead_q - OpenBits'(1);
    end
    if (chosen_q && sends && ahead_q == '0) beat_q <= beat_q + 8'd1;
    if (!rst_ni) begin
      data_open_q  <= '0;
      addresses_q  <= '0;
      datas_q      <= '0;
      was_chosen_q <= 1'b0;
      chosen_q     <= 1'b0;
    end
  end

  always_comb begin
    // A3.3.1: BVALID waits for the handshakes of the address and of the last beat.
    answers_a_whole_burst: assume (!rst_ni || !response_i.bvalid || (addresses_q != '0 && datas_q != '0));
    // A3.2.1
    answer_is_held: assume (!rst_ni || !b_waiting_q || (response_i.bvalid && response_i.bresp == resp_q));
    // A3.1.2
    no_answer_in_reset: assume (rst_ni || !response_i.bvalid);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni && reset_q) wvalid_is_low_in_reset: assert (!request_i.wvalid);                                      // A3.1.2
    if (rst_ni) begin
      if (reset_q) wvalid_is_low_after_reset: assert (!request_i.wvalid);                                            // A3.1.2
      wvalid_is_held: assert (!w_waiting_q || request_i.wvalid);                                                     // A3.2.1
      data_is_held: assert (!w_waiting_q || request_i.w == w_q);                                                     // A3.2.1
      if (request_i.wvalid) strobes_are_of_whole_beats: assert (request_i.w.strb == '1);                             // A3.4.3
      data_follows_its_address: assert (!request_i.wvalid || data_open_q != '0);                                     // A5.4
      open_in_range: assert (data_open_q <= OpenBits'(MostOpen) && addresses_q <= OpenBits'(MostOpen)
          && datas_q <= OpenBits'(MostOpen));
      last_where_the_burst_ends: assert (!(chosen_q && ahead_q == '0 && request_i.wvalid)
          || request_i.w.last == (beat_q == length_q));                                                              // A3.4.1
      takes_answers_at_once: assert (request_i.bready);                                                              // A3.3.1
      idle_is_the_end: assert (!idle_i || (!request_i.awvalid && !request_i.wvalid && data_open_q == '0
          && addresses_q == '0 && datas_q == '0));
      data_before_its_address_is_taken: cover (ends && addresses_q == '0);
      address_before_data: cover (asks && !request_i.wvalid);
      error_answer: cover (answers && response_i.bresp[1]);
      halted_with_data_open: cover (halted_q && sends && data_open_q != '0);
    end
  end

endmodule
