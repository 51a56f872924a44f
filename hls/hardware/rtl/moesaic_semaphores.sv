// The counting semaphores between units: number producer * Units + consumer. Only its producer signals a semaphore and
// only its consumer takes it (fetch refuses other masks), so a semaphore once ready stays ready until it is taken.
module moesaic_semaphores #(
    parameter int unsigned Units = moesaic_isa_pkg::UNITS
) (
    input  logic                              clk_i,
    input  logic                              rst_ni,
    input  logic [Units-1:0][Units*Units-1:0] wait_mask_i,
    output logic [Units-1:0]                  ready_o,          // all semaphores of the mask are above zero
    input  logic [Units-1:0]                  take_i,           // decrement them; only while ready_o
    input  logic [Units-1:0]                  signal_i,
    input  logic [Units-1:0][Units*Units-1:0] signal_mask_i,
    output logic [Units-1:0]                  overflow_o        // in the cycle of the signal, per signalling unit
);

  localparam int unsigned Count     = Units * Units;
  localparam int unsigned CountBits = $clog2(moesaic_isa_pkg::SEMAPHORE_MAX + 1);

  logic [Count-1:0][CountBits-1:0] count_q;
  logic [Count-1:0] above_zero_q;

  always_comb begin
    for (int u = 0; u < int'(Units); u++) begin
      ready_o[u] = 1'b1;
      for (int p = 0; p < int'(Units); p++)
        if (wait_mask_i[u][p*int'(Units)+u] && !above_zero_q[p*int'(Units)+u]) ready_o[u] = 1'b0;
    end
  end

  logic [Count-1:0][CountBits-1:0] count_d;
  logic up, down;
  always_comb begin
    overflow_o = '0;
    for (int p = 0; p < int'(Units); p++) begin
      for (int u = 0; u < int'(Units); u++) begin
        up   = signal_i[p] && signal_mask_i[p][p*int'(Units)+u];
        down = take_i[u] && wait_mask_i[u][p*int'(Units)+u];
        count_d[p*int'(Units)+u] = count_q[p*int'(Units)+u] + CountBits'(up) - CountBits'(down);
        if (up && !down && count_q[p*int'(Units)+u] == CountBits'(moesaic_isa_pkg::SEMAPHORE_MAX)) begin
          count_d[p*int'(Units)+u] = CountBits'(moesaic_isa_pkg::SEMAPHORE_MAX);
          overflow_o[p] = 1'b1;
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin
    count_q    <= count_d;
    for (int s = 0; s < int'(Count); s++) above_zero_q[s] <= count_d[s] != '0;
    if (!rst_ni) begin
      count_q      <= '0;
      above_zero_q <= '0;
    end
  end

`ifndef SYNTHESIS
  logic armed;
  logic [Count-1:0] above_zero, taken;
  logic [Units-1:0] foreign_take, foreign_signal;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_comb begin
    foreign_take   = '0;
    foreign_signal = '0;
    for (int p = 0; p < int'(Units); p++) begin
      for (int c = 0; c < int'(Units); c++) begin
        above_zero[p*int'(Units)+c] = count_q[p*int'(Units)+c] != '0;
        taken[p*int'(Units)+c]      = take_i[c] && wait_mask_i[c][p*int'(Units)+c];
        for (int u = 0; u < int'(Units); u++) begin
          if (u != c && take_i[u] && wait_mask_i[u][p*int'(Units)+c]) foreign_take[u] = 1'b1;
          if (u != p && signal_i[u] && signal_mask_i[u][p*int'(Units)+c]) foreign_signal[u] = 1'b1;
        end
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (armed) begin
      above_zero_agrees_with_count: assert (above_zero_q == above_zero);
      taken_only_above_zero: assert ((taken & ~above_zero) == '0);
      taken_only_by_the_consumer: assert (foreign_take == '0);
      signalled_only_by_the_producer: assert (foreign_signal == '0);
    end
  end
`endif

endmodule
