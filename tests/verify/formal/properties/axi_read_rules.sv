// An AXI4 manager that reads, against the specification: ARM IHI 0022, issue H.c, whose section each property names.
//
// Asserted of the manager; assumed of the subordinate at the other side is no more than that it offers data only for addresses that it
// has taken, and keeps what it offers. RLAST and RRESP may be anything: what a manager does with wrong ones is its own harness's. Ports
// without ID signals have one identifier, so data comes in the order of the addresses (A5.1, A5.3).
//
// One rule is the accelerator's own: idle_i is the end of all transactions. The address channel is axi_address_rules'.
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
  logic beat_waiting_q, asks, answers, halted_q;
  moesaic_axi_pkg::read_beat_t beat_q;

  axi_address_rules #(
      .MostBeats(MostBeats),
      .Promised (Promised)
  ) u_address (
      .clk_i,
      .rst_ni,
      .valid_i (request_i.arvalid),
      .ready_i (response_i.arready),
      .burst_i (request_i.ar),
      .halted_i,
      .opens_o ()
  );

  assign asks    = request_i.arvalid && response_i.arready;
  assign answers = response_i.rvalid && request_i.rready;
  assign open_o  = open_q;

  always_ff @(posedge clk_i) begin
    beat_waiting_q <= rst_ni && response_i.rvalid && !request_i.rready;
    beat_q         <= response_i.r;
    open_q         <= open_q + (asks ? OpenBits'(request_i.ar.len) + OpenBits'(1) : '0) - OpenBits'(answers);
    halted_q       <= rst_ni && halted_i;
    if (!rst_ni) open_q <= '0;
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
    if (rst_ni) begin
      takes_only_what_it_asked_for: assert (!answers || open_q != '0);                                               // A3.3.1
      open_in_range: assert (open_q <= OpenBits'(MostOpen));
      if (AlwaysReady) takes_data_at_once: assert (request_i.rready);                                                // A3.3.1
      idle_is_the_end: assert (!idle_i || (!request_i.arvalid && open_q == '0));
      answered_wholly: cover (answers && open_q == OpenBits'(1) && !asks);
      halted_with_data_open: cover (halted_q && answers && open_q > OpenBits'(2));
    end
  end

endmodule
