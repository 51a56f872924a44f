// moesaic_semaphores: one that the solver chooses counts its producer's signals less its consumer's takes, stays ready once it is, and
// overflows exactly when a signal finds SEMAPHORE_MAX and no take in the same cycle.
//
// Assumed: a unit takes only while ready_o, and only its own semaphores are in its masks, as `issue` and `fetch` see to.
module semaphores_proof #(
    localparam int unsigned Units = moesaic_isa_pkg::UNITS,
    localparam int unsigned Count = Units * Units
) (
    input logic                        clk_i,
    input logic                        rst_ni,
    input logic [Units-1:0][Count-1:0] wait_mask_i,
    input logic [Units-1:0]            take_i,
    input logic [Units-1:0]            signal_i,
    input logic [Units-1:0][Count-1:0] signal_mask_i,
    input logic [2:0]                  producer_i,
    input logic [2:0]                  consumer_i
);

  logic [Units-1:0] ready, overflow;
  logic [4:0] number;
  logic up, down, waits, full;
  logic [7:0] count_q;

  reset_assumed u_reset (.clk_i, .rst_ni);

  held_constant #(
      .Width(6)
  ) u_chosen (
      .clk_i,
      .value_i({producer_i, consumer_i})
  );

  moesaic_semaphores u_semaphores (
      .clk_i,
      .rst_ni,
      .wait_mask_i,
      .ready_o(ready),
      .take_i,
      .signal_i,
      .signal_mask_i,
      .overflow_o(overflow)
  );

  logic [Units-1:0][Count-1:0] may_wait, may_signal;
  always_comb begin
    for (int u = 0; u < int'(Units); u++) begin
      for (int p = 0; p < int'(Units); p++) begin
        for (int c = 0; c < int'(Units); c++) begin
          may_wait[u][p*int'(Units)+c]   = u == c;
          may_signal[u][p*int'(Units)+c] = u == p;
        end
      end
    end
    a_unit_is_chosen: assume (producer_i < 3'(Units) && consumer_i < 3'(Units));
    takes_while_ready: assume ((take_i & ~ready) == '0);
    waits_for_its_own: assume ((wait_mask_i & ~may_wait) == '0);
    signals_its_own: assume ((signal_mask_i & ~may_signal) == '0);
  end

  assign number = 5'(producer_i) * 5'(Units) + 5'(consumer_i);
  assign waits  = wait_mask_i[consumer_i][number];
  assign up     = signal_i[producer_i] && signal_mask_i[producer_i][number];
  assign down   = take_i[consumer_i] && waits;
  assign full   = count_q == 8'(moesaic_isa_pkg::SEMAPHORE_MAX);

  always_ff @(posedge clk_i) begin
    if (!(up && !down && full)) count_q <= count_q + 8'(up) - 8'(down);
    if (!rst_ni) count_q <= '0;
    if (rst_ni) begin
      counts_signals_less_takes: assert (u_semaphores.count_q[number] == count_q);
      above_zero_tells: assert (u_semaphores.above_zero_q[number] == (count_q != '0));
      never_taken_at_zero: assert (!down || count_q != '0);
      not_ready_at_zero: assert (!waits || count_q != '0 || !ready[consumer_i]);
      overflow_is_told: assert (!(up && !down && full) || overflow[producer_i]);
      counts_up: cover (count_q == 8'd2);
      signal_and_take_at_once: cover (up && down);
    end
  end

  // Once ready, a semaphore stays so: per semaphore, whatever the masks of the others.
  logic above_q;
  always_ff @(posedge clk_i) begin
    above_q <= rst_ni && count_q != '0 && !down;
    if (rst_ni) stays_ready_until_taken: assert (!above_q || count_q != '0);
  end

  // No other semaphore holds a unit up, nor raises its overflow.
  logic [Units-1:0] wants_more, has_full;
  always_comb begin
    wants_more = '0;
    has_full   = '0;
    for (int p = 0; p < int'(Units); p++) begin
      for (int c = 0; c < int'(Units); c++) begin
        if (wait_mask_i[c][p*int'(Units)+c] && u_semaphores.count_q[p*int'(Units)+c] == '0) wants_more[c] = 1'b1;
        if (signal_i[p] && signal_mask_i[p][p*int'(Units)+c] && !(take_i[c] && wait_mask_i[c][p*int'(Units)+c])
            && u_semaphores.count_q[p*int'(Units)+c] == 8'(moesaic_isa_pkg::SEMAPHORE_MAX)) has_full[p] = 1'b1;
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      ready_when_all_are_there: assert (ready == ~wants_more);
      overflow_only_at_the_end: assert (overflow == has_full);
    end
  end

endmodule
