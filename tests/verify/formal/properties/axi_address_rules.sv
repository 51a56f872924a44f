// An address channel of an AXI4 manager, of reads or of writes, against the specification: ARM IHI 0022, issue H.c, whose section each
// property names.
//
// One rule is the accelerator's own: after halted_i no address appears that was not promised before (Promised is how many of those there
// may be).
module axi_address_rules #(
    parameter int unsigned MostBeats = 256,    // of a burst
    parameter int unsigned Promised = 0
) (
    input  logic                    clk_i,
    input  logic                    rst_ni,
    input  logic                    valid_i,
    input  logic                    ready_i,
    input  moesaic_axi_pkg::burst_t burst_i,
    input  logic                    halted_i,
    output logic                    opens_o    // an address appears
);

  logic reset_q = 1'b0;
  logic waiting_q, halted_q, taken;
  logic [3:0] since_halt_q;
  logic [12:0] page_end;
  moesaic_axi_pkg::burst_t burst_q;

  assign opens_o  = valid_i && !waiting_q;
  assign taken    = valid_i && ready_i;
  assign page_end = 13'(burst_i.addr[11:0]) + {1'b0, burst_i.len, 4'd0} + 13'd16;

  always_ff @(posedge clk_i) begin
    reset_q   <= !rst_ni;
    waiting_q <= rst_ni && valid_i && !ready_i;
    burst_q   <= burst_i;
    halted_q  <= rst_ni && halted_i;
    if (!rst_ni || !halted_i) since_halt_q <= '0;
    else if (opens_o && halted_q && since_halt_q != '1) since_halt_q <= since_halt_q + 4'd1;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni && reset_q) valid_is_low_in_reset: assert (!valid_i);                        // A3.1.2
    if (rst_ni) begin
      if (reset_q) valid_is_low_after_reset: assert (!valid_i);                              // A3.1.2
      valid_is_held: assert (!waiting_q || valid_i);                                         // A3.2.1
      address_is_held: assert (!waiting_q || burst_i == burst_q);                            // A3.2.1
      if (valid_i) begin
        burst_is_incrementing: assert (burst_i.burst == 2'b01);                              // A3.4.1
        length_is_allowed: assert (32'(burst_i.len) + 1 <= MostBeats && MostBeats <= 256);   // A3.4.1
        size_is_that_of_the_bus: assert (burst_i.size == 3'd4);                              // A3.4.1
        stays_in_its_page: assert (page_end <= 13'd4096);                                    // A3.4.1
        starts_on_a_beat: assert (burst_i.addr[3:0] == '0);                                  // A3.4.2
        memory_type_is_defined: assert (burst_i.cache[3:2] == '0 || burst_i.cache[1]);       // A4.4
        protection_is_of_data: assert (!burst_i.prot[2]);                                    // A4.7
      end
      no_new_address_after_the_end: assert (Promised == 0 ? !(opens_o && halted_q) : since_halt_q <= 4'(Promised));
      address_waits: cover (waiting_q && taken);
      longest_burst: cover (taken && 32'(burst_i.len) + 1 == MostBeats);
      last_of_a_page: cover (taken && page_end == 13'd4096);
    end
  end

endmodule
