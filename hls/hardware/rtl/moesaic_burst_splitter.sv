// Cuts runs into AXI bursts, one per cycle. A burst has at most MaxBeats (a power of two up to 256), does not cross a 4 KiB
// boundary in DRAM, and on chip stays within one aligned block of MaxBeats, so that no memory word of up to that size is cut
// unless DRAM cuts it. Runs wait in a buffer of two, because cutting one takes long enough without the maker of runs in the same
// cycle.
module moesaic_burst_splitter #(
    parameter int unsigned MaxBeats = 64
) (
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic        run_valid_i,
    output logic        run_ready_o,
    input  logic [39:0] run_address_i,    // multiple of 16
    input  logic [31:0] run_local_i,
    input  logic [27:0] run_beats_i,      // at least 1
    output logic        burst_valid_o,
    input  logic        burst_ready_i,
    output logic [39:0] burst_address_o,
    output logic [31:0] burst_local_o,
    output logic [7:0]  burst_length_o,   // beats - 1, as AXI counts
    output logic        busy_o            // holds a run, or the rest of one
);

  logic valid_q;
  logic [39:0] address_q;
  logic [31:0] local_q;
  logic [27:0] left_q;

  localparam int unsigned BlockBits = $clog2(MaxBeats);

  if (MaxBeats < 2 || MaxBeats > 256 || (1 << BlockBits) != MaxBeats) begin : gen_check
    $fatal(1, "burst_splitter: MaxBeats is %0d, it must be a power of two from 2 to 256", MaxBeats);
  end

  logic run_valid, run_ready;
  logic [39:0] run_address;
  logic [31:0] run_local;
  logic [27:0] run_beats;

  moesaic_skid_buffer #(
      .Width($bits({run_address, run_local, run_beats}))
  ) u_runs (
      .clk_i,
      .rst_ni,
      .valid_i(run_valid_i),
      .ready_o(run_ready_o),
      .data_i ({run_address_i, run_local_i, run_beats_i}),
      .valid_o(run_valid),
      .ready_i(run_ready),
      .data_o ({run_address, run_local, run_beats})
  );

  logic [8:0] to_boundary, to_block_end, limit, beats;
  logic last;

  assign to_boundary  = 9'd256 - {1'b0, address_q[11:4]};
  assign to_block_end = 9'(MaxBeats) - 9'(local_q[4+:BlockBits]);
  assign limit        = to_boundary < to_block_end ? to_boundary : to_block_end;
  assign last         = left_q <= 28'(limit);
  assign beats        = last ? left_q[8:0] : limit;

  assign burst_valid_o   = valid_q;
  assign burst_address_o = address_q;
  assign burst_local_o   = local_q;
  assign burst_length_o  = 8'(beats - 9'd1);
  assign busy_o          = valid_q || run_valid;
  assign run_ready       = !valid_q || (burst_ready_i && last);

  always_ff @(posedge clk_i) begin
    if (run_ready) begin
      valid_q   <= run_valid;
      address_q <= run_address;
      local_q   <= run_local;
      left_q    <= run_beats;
    end else if (burst_ready_i) begin
      address_q <= address_q + {27'd0, beats, 4'd0};
      local_q   <= local_q + {19'd0, beats, 4'd0};
      left_q    <= left_q - 28'(beats);
    end
    if (!rst_ni) valid_q <= 1'b0;
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      beats_never_wrap: assert (left_q != '0 || !valid_q);
      burst_has_beats: assert ((beats != '0 && beats <= 9'(MaxBeats)) || !valid_q);
    end
  end

  moesaic_handshake_rules #(
      .Width($bits({burst_address_o, burst_local_o, burst_length_o}))
  ) u_burst_rules (
      .clk_i,
      .rst_ni,
      .valid_i  (burst_valid_o),
      .ready_i  (burst_ready_i),
      .payload_i({burst_address_o, burst_local_o, burst_length_o})
  );
`endif

endmodule
