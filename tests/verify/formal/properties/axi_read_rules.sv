// An AXI4 manager that reads, against the specification: ARM IHI 0022, issue H.c, whose section each property names.
//
// Asserted of the manager; assumed of the subordinate at the other side is no more than that it offers data only for addresses that it
// has taken, and keeps what it offers. RLAST and RRESP may be anything: what a manager does with wrong ones is its own harness's. Ports
// without ID signals have one identifier, so data comes in the order of the addresses (A5.1, A5.3).
//
// Two rules are the accelerator's own: after halted_i no address follows that was not offered or promised before (Promised is how
// many of those there may be), and idle_i is the end of all transactions.
module axi_read_rules #(
    parameter int unsigned MostBeats = 256,     // of a burst
    parameter int unsigned MostOpen = 1024,     // beats asked for and not yet taken
    parameter int unsigned Promised = 0,
    parameter bit AlwaysReady = 1'b0,           // takes data at any time
    localparam int unsigned OpenBits = $clog2(MostOpen + 1)
) (
    input  logic                            clk_i,
    input  logic                            rst_ni,
    input  moesaic_axi_pkg::read_request_t  request_i,
    input  moesaic_axi_pkg::read_response_t response_i,
    input  logic                            halted_i,
    input  logic                            idle_i,
    output logic [OpenBits-1:0]             open_o
);

  logic [OpenBits-1:0] open_q;
  logic reset_q = 1'b0;
  logic waiting_q, beat_waiting_q, asks, answers, halted_q, opens;
  logic [3:0] since_halt_q;
  moesaic_axi_pkg::burst_t ar_q;
  moesaic_axi_pkg::read_beat_t beat_q;

  assign asks    = request_i.arvalid && response_i.arready;
  assign answers = response_i.rvalid && request_i.rready;
  assign opens   = request_i.arvalid && !waiting_q;    // an address appears
  assign open_o  = open_q;

  always_ff @(posedge clk_i) begin
    reset_q        <= !rst_ni;
    waiting_q      <= rst_ni && request_i.arvalid && !response_i.arready;
    ar_q           <= request_i.ar;
    beat_waiting_q <= rst_ni && response_i.rvalid && !request_i.rready;
    beat_q         <= response_i.r;
    open_q         <= open_q + (asks ? OpenBits'(request_i.ar.len) + OpenBits'(1) : '0) - OpenBits'(answers);
    halted_q       <= halted_i;
    if (!halted_i) since_halt_q <= '0;
    else if (opens && halted_q && since_halt_q != '1) since_halt_q <= since_halt_q + 4'd1;
    if (!rst_ni) begin
      open_q       <= '0;
      halted_q     <= 1'b0;
      since_halt_q <= '0;
    end
  end

  always_comb begin
    // A3.3.1: RVALID waits for ARVALID and ARREADY.
    data_answers_an_address: assume (!rst_ni || !response_i.rvalid || open_q != '0);
    // A3.2.1
    data_is_held: assume (!rst_ni || !beat_waiting_q || (response_i.rvalid && response_i.r == beat_q));
    // A3.1.2
    no_data_in_reset: assume (rst_ni || !response_i.rvalid);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni && reset_q) arvalid_is_low_in_reset: assert (!request_i.arvalid);                                   // A3.1.2
    if (rst_ni) begin
      if (reset_q) arvalid_is_low_after_reset: assert (!request_i.arvalid);                                          // A3.1.2
      arvalid_is_held: assert (!waiting_q || request_i.arvalid);                                                     // A3.2.1
      address_is_held: assert (!waiting_q || request_i.ar == ar_q);                                                  // A3.2.1
      if (request_i.arvalid) begin
        burst_is_incrementing: assert (request_i.ar.burst == 2'b01);                                                 // A3.4.1
        length_is_allowed: assert (32'(request_i.ar.len) + 1 <= MostBeats && MostBeats <= 256);                      // A3.4.1
        size_is_that_of_the_bus: assert (request_i.ar.size == 3'd4);                                                 // A3.4.1
        stays_in_its_page: assert (13'(request_i.ar.addr[11:0]) + {1'b0, request_i.ar.len, 4'd0} + 13'd16 <= 13'd4096);  // A3.4.1
        starts_on_a_beat: assert (request_i.ar.addr[3:0] == '0);                                                     // A3.4.2
        memory_type_is_defined: assert (request_i.ar.cache[3:2] == '0 || request_i.ar.cache[1]);                     // A4.4
        protection_is_of_data: assert (!request_i.ar.prot[2]);                                                       // A4.7
      end
      takes_only_what_it_asked_for: assert (!answers || open_q != '0);                                               // A3.3.1
      open_in_range: assert (open_q <= OpenBits'(MostOpen));
      if (AlwaysReady) takes_data_at_once: assert (request_i.rready);                                                // A3.3.1
      no_new_address_after_the_end: assert (Promised == 0 ? !(opens && halted_q) : since_halt_q <= 4'(Promised));
      idle_is_the_end: assert (!idle_i || (!request_i.arvalid && open_q == '0));
      address_waits: cover (waiting_q && asks);
      longest_burst: cover (asks && 32'(request_i.ar.len) + 1 == MostBeats);
      last_of_a_page: cover (asks && 13'(request_i.ar.addr[11:0]) + {1'b0, request_i.ar.len, 4'd0} + 13'd16 == 13'd4096);
      answered_wholly: cover (answers && open_q == OpenBits'(1) && !asks);
      halted_with_data_open: cover (halted_q && answers && open_q > OpenBits'(2));
    end
  end

endmodule
