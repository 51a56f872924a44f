// The counting semaphores between units: number producer * Units + consumer. Only its producer signals a semaphore and
// only its consumer takes it (fetch refuses other masks), so a semaphore once ready stays ready until it is taken.
module moesaic_semaphores #(
    parameter int unsigned Units = 5
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

  localparam int unsigned Count = Units * Units;

  logic [Count-1:0][7:0] count_q;
  logic [Count-1:0] above_zero_q;

  always_comb begin
    for (int u = 0; u < int'(Units); u++) begin
      ready_o[u] = 1'b1;
      for (int p = 0; p < int'(Units); p++)
        if (wait_mask_i[u][p*int'(Units)+u] && !above_zero_q[p*int'(Units)+u]) ready_o[u] = 1'b0;
    end
  end

  logic [Count-1:0][7:0] count_d;
  logic up, down;
  always_comb begin
    overflow_o = '0;
    for (int p = 0; p < int'(Units); p++) begin
      for (int u = 0; u < int'(Units); u++) begin
        up   = signal_i[p] && signal_mask_i[p][p*int'(Units)+u];
        down = take_i[u] && wait_mask_i[u][p*int'(Units)+u];
        count_d[p*int'(Units)+u] = count_q[p*int'(Units)+u] + 8'(up) - 8'(down);
        if (up && !down && count_q[p*int'(Units)+u] == 8'hff) begin
          count_d[p*int'(Units)+u] = 8'hff;
          overflow_o[p] = 1'b1;
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin
    count_q    <= count_d;
    for (int s = 0; s < int'(Count); s++) above_zero_q[s] <= count_d[s] != 8'd0;
    if (!rst_ni) begin
      count_q      <= '0;
      above_zero_q <= '0;
    end
  end

  logic unused;
  assign unused = &{1'b0, wait_mask_i, signal_mask_i};

endmodule
