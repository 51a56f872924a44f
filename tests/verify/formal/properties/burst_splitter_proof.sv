// moesaic_burst_splitter: the bursts of a run follow one another from its first byte to its last, in DRAM and on chip; none crosses a page
// of 4 KiB (ARM IHI 0022, A3.4.1) or the end of a block on chip, none is longer than MaxBeats, and the last one ends the run.
module burst_splitter_proof #(
    parameter int unsigned MaxBeats = 16
) (
    input logic         clk_i,
    input logic         rst_ni,
    input logic         run_valid_i,
    input logic [39:4]  run_address_i,
    input logic [31:4]  run_local_i,
    input logic [27:0]  run_beats_i,
    input logic         burst_ready_i
);

  localparam int unsigned BlockBits = $clog2(MaxBeats);

  logic run_ready, valid, busy, first_q, taken, ends;
  logic [39:0] address;
  logic [31:0] local_address;
  logic [7:0] length;
  logic [39:4] expected_address_q;
  logic [31:4] expected_local_q;
  logic [27:0] left_q;

  reset_assumed u_reset (.clk_i, .rst_ni);

  moesaic_burst_splitter #(
      .MaxBeats(MaxBeats)
  ) u_splitter (
      .clk_i,
      .rst_ni,
      .run_valid_i,
      .run_ready_o    (run_ready),
      .run_address_i  ({run_address_i, 4'd0}),
      .run_local_i    ({run_local_i, 4'd0}),
      .run_beats_i,
      .burst_valid_o  (valid),
      .burst_ready_i,
      .burst_address_o(address),
      .burst_local_o  (local_address),
      .burst_length_o (length),
      .busy_o         (busy)
  );

  always_comb a_run_has_beats: assume (!run_valid_i || run_beats_i != '0);

  // The run that is cut, from where it leaves the buffer in front (skid_buffer_proof shows what that does).
  assign taken = u_splitter.run_valid && u_splitter.run_ready;
  assign ends  = valid && burst_ready_i && left_q == 28'(length) + 28'd1;

  always_ff @(posedge clk_i) begin
    if (taken) begin
      expected_address_q <= u_splitter.run_address[39:4];
      expected_local_q   <= u_splitter.run_local[31:4];
      left_q             <= u_splitter.run_beats;
    end else if (valid && burst_ready_i) begin
      expected_address_q <= expected_address_q + 36'(length) + 36'd1;
      expected_local_q   <= expected_local_q + 28'(length) + 28'd1;
      left_q             <= left_q - 28'(length) - 28'd1;
    end
    if (rst_ni) begin
      if (valid) begin
        follows_the_one_before: assert (address == {expected_address_q, 4'd0} && local_address == {expected_local_q, 4'd0});
        stays_in_its_page: assert (9'(address[11:4]) + 9'(length) <= 9'd255);
        stays_in_its_block: assert (32'(local_address[4+:BlockBits]) + 32'(length) < MaxBeats);
        length_is_allowed: assert (32'(length) < MaxBeats);
        stays_in_its_run: assert (left_q != '0 && 28'(length) < left_q);
        is_as_long_as_it_may: assert (28'(length) + 28'd1 == left_q || 32'(length) + 1 == MaxBeats
            || 9'(address[11:4]) + 9'(length) == 9'd255 || 32'(local_address[4+:BlockBits]) + 32'(length) == MaxBeats - 1);
        left_agrees: assert (left_q == u_splitter.left_q);
      end
      a_run_ends_with_its_last_burst: assert (!(valid && taken) || ends);
      busy_while_anything_is_left: assert (busy == (valid || u_splitter.run_valid));
      runs_have_beats: assert (!u_splitter.run_valid || u_splitter.run_beats != '0);
      runs_behind_have_beats: assert (!u_splitter.u_runs.u_buffer.spare_valid_q
          || (u_splitter.u_runs.u_buffer.spare_q[27:0] != '0 && u_splitter.u_runs.u_buffer.spare_ports_q));
      runs_are_aligned: assert (!u_splitter.run_valid
          || (u_splitter.run_address[3:0] == '0 && u_splitter.run_local[3:0] == '0));
      runs_behind_are_aligned: assert (!u_splitter.u_runs.u_buffer.spare_valid_q
          || (u_splitter.u_runs.u_buffer.spare_q[31:28] == '0 && u_splitter.u_runs.u_buffer.spare_q[63:60] == '0));
      cut_at_a_page: cover (valid && burst_ready_i && !ends && address[11:4] + length == 8'd255
          && 32'(local_address[4+:BlockBits]) + 32'(length) != MaxBeats - 1);
      run_after_run: cover (ends && taken);
    end
  end

endmodule
