// moesaic_transfer_loop: the runs of an instruction are those of its loop nest, in order, each once; the first that leaves its window or its
// memory faults, once, and neither it nor any behind it is emitted.
//
// The nest is walked here in numbers that are wide enough for every sum, so that no address of the design wraps back into a window.
module transfer_loop_proof (
    input logic        clk_i,
    input logic        rst_ni,
    input logic        start_i,
    input logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] instr_i,
    input logic        unpack_i,
    input logic [39:0] window_base_i,
    input logic [31:0] window_size_i,
    input logic [31:0] local_size_i,
    input logic        run_ready_i
);

  localparam int unsigned Bits = 36;

  // What walks the nest once in DRAM and once on chip: where the run, the middle and the outer iteration begin.
  typedef struct packed {
    logic [Bits-1:0] run;
    logic [Bits-1:0] middle;
    logic [Bits-1:0] outer;
  } walk_t;

  typedef struct packed {
    logic [15:0] run;
    logic [15:0] middle;
    logic [15:0] outer;
  } left_t;

  moesaic_isa_pkg::load_t instr, instr_q;
  logic run_valid, busy, fault, start, busy_q, unpack_q;
  logic [39:0] run_address, window_base_q;
  logic [31:0] run_local, window_size_q, local_size_q;
  logic [27:0] run_beats;

  assign instr = instr_i;
  assign start = start_i && !busy;

  reset_assumed u_reset (.clk_i, .rst_ni);

  moesaic_transfer_loop u_loop (
      .clk_i,
      .rst_ni,
      .start_i      (start),
      .instr_i,
      .unpack_i,
      .window_base_i,
      .window_size_i,
      .local_size_i,
      .run_valid_o  (run_valid),
      .run_ready_i,
      .run_address_o(run_address),
      .run_local_o  (run_local),
      .run_beats_o  (run_beats),
      .busy_o       (busy),
      .fault_o      (fault)
  );

  always_comb begin
    // What fetch lets pass.
    runs_are_of_whole_beats: assume (!start || (instr.bytes >= 32'd16 && instr.bytes[3:0] == '0));
    loops_run: assume (!start || (instr.count_1 != '0 && instr.count_2 != '0 && instr.count_3 != '0));
    addresses_are_aligned: assume (!start || (instr.dram_offset[3:0] == '0 && instr.local_address[3:0] == '0
        && instr.dram_stride_1[3:0] == '0 && instr.dram_stride_2[3:0] == '0 && instr.dram_stride_3[3:0] == '0
        && instr.local_stride_1[3:0] == '0 && instr.local_stride_2[3:0] == '0 && instr.local_stride_3[3:0] == '0));
    windows_stay: assume (!busy_q || !busy || (window_base_i == window_base_q && window_size_i == window_size_q
        && local_size_i == local_size_q));
  end

  function automatic walk_t first_of(input logic [31:0] address);
    return {Bits'(address), Bits'(address), Bits'(address)};
  endfunction

  function automatic walk_t behind(input walk_t walk, input left_t left, input logic [31:0] stride_1, input logic [31:0] stride_2,
                                   input logic [31:0] stride_3);
    behind = walk;
    if (left.run != 16'd1) begin
      behind.run = walk.run + Bits'(stride_1);
    end else if (left.middle != 16'd1) begin
      behind.middle = walk.middle + Bits'(stride_2);
      behind.run    = walk.middle + Bits'(stride_2);
    end else begin
      behind.outer  = walk.outer + Bits'(stride_3);
      behind.middle = walk.outer + Bits'(stride_3);
      behind.run    = walk.outer + Bits'(stride_3);
    end
  endfunction

  function automatic left_t left_behind(input left_t left, input logic [15:0] count_1, input logic [15:0] count_2);
    left_behind = left;
    if (left.run != 16'd1) begin
      left_behind.run = left.run - 16'd1;
    end else if (left.middle != 16'd1) begin
      left_behind = {count_1, left.middle - 16'd1, left.outer};
    end else begin
      left_behind = {count_1, count_2, left.outer - 16'd1};
    end
  endfunction

  // The run that is judged next.
  logic walking_q, judged, fits, last, emitted_q, bad_q;
  walk_t dram_q, local_q, dram_next, local_next;
  left_t left_q, left_next;
  logic [Bits-1:0] local_bytes, dram_end, local_end;
  logic [39:0] emitted_address_q;
  logic [31:0] emitted_local_q;

  assign local_bytes = unpack_q ? {3'd0, instr_q.bytes, 1'b0} : Bits'(instr_q.bytes);
  assign dram_end    = dram_q.run + Bits'(instr_q.bytes);
  assign local_end   = local_q.run + local_bytes;
  assign judged      = u_loop.ends_valid_q && u_loop.move && !start;
  assign fits      = dram_end <= Bits'(window_size_i) && local_end <= Bits'(local_size_i);
  assign last        = left_q.run == 16'd1 && left_q.middle == 16'd1 && left_q.outer == 16'd1;
  assign dram_next   = behind(dram_q, left_q, instr_q.dram_stride_1, instr_q.dram_stride_2, instr_q.dram_stride_3);
  assign local_next  = behind(local_q, left_q, instr_q.local_stride_1, instr_q.local_stride_2, instr_q.local_stride_3);
  assign left_next   = left_behind(left_q, instr_q.count_1, instr_q.count_2);

  always_ff @(posedge clk_i) begin
    busy_q        <= rst_ni && busy;
    window_base_q <= window_base_i;
    window_size_q <= window_size_i;
    local_size_q  <= local_size_i;
    bad_q         <= rst_ni && judged && !fits;
    if (start) begin
      instr_q   <= instr_i;
      unpack_q  <= unpack_i;
      walking_q <= 1'b1;
      dram_q    <= first_of(instr.dram_offset);
      local_q   <= first_of(instr.local_address);
      left_q    <= {instr.count_1, instr.count_2, instr.count_3};
    end else if (judged) begin
      walking_q <= fits && !last;
      dram_q    <= dram_next;
      local_q   <= local_next;
      left_q    <= left_next;
    end
    if (u_loop.move) begin
      emitted_q         <= judged && fits;
      emitted_address_q <= window_base_i + 40'(dram_q.run);
      emitted_local_q   <= local_q.run[31:0];
    end
    if (!rst_ni) begin
      walking_q <= 1'b0;
      emitted_q <= 1'b0;
    end
  end

  logic first_of_middle, first_of_outer;
  walk_t dram_ahead, local_ahead;
  left_t left_ahead;
  assign first_of_middle = left_q.run == instr_q.count_1;
  assign first_of_outer  = first_of_middle && left_q.middle == instr_q.count_2;
  assign dram_ahead      = u_loop.ends_valid_q ? dram_next : dram_q;
  assign local_ahead     = u_loop.ends_valid_q ? local_next : local_q;
  assign left_ahead      = u_loop.ends_valid_q ? left_next : left_q;

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      emits_each_run_inside: assert (run_valid == emitted_q);
      run_is_of_the_nest: assert (!run_valid || (run_address == emitted_address_q && run_local == emitted_local_q
          && run_beats == instr_q.bytes[31:4]));
      run_has_beats: assert (!run_valid || run_beats != '0);
      faults_at_the_first_outside: assert (fault == bad_q);
      busy_until_the_last_run_is_taken: assert (busy == (walking_q || run_valid));
      judges_only_while_walking: assert (!judged || walking_q);
      // No sum is wider than the design's registers.
      dram_ends_fit: assert (!walking_q || (dram_end < Bits'(1) << 33 && local_end < Bits'(1) << 34));
      starts_fit: assert (!walking_q || (dram_q.run < Bits'(1) << 33 && dram_q.middle < Bits'(1) << 33
          && dram_q.outer < Bits'(1) << 33 && local_q.run < Bits'(1) << 33 && local_q.middle < Bits'(1) << 33
          && local_q.outer < Bits'(1) << 33));
      // What was judged before lies inside.
      middle_lies_inside: assert (!walking_q || (first_of_middle
          ? dram_q.run == dram_q.middle && local_q.run == local_q.middle
          : dram_q.middle + Bits'(instr_q.bytes) <= Bits'(window_size_i) && local_q.middle + local_bytes <= Bits'(local_size_i)));
      outer_lies_inside: assert (!walking_q || (first_of_outer
          ? dram_q.middle == dram_q.outer && local_q.middle == local_q.outer
          : dram_q.outer + Bits'(instr_q.bytes) <= Bits'(window_size_i) && local_q.outer + local_bytes <= Bits'(local_size_i)));
      aligned: assert (!walking_q || (dram_q.run[3:0] == '0 && dram_q.middle[3:0] == '0 && dram_q.outer[3:0] == '0
          && local_q.run[3:0] == '0 && local_q.middle[3:0] == '0 && local_q.outer[3:0] == '0));
      fields_are_aligned: assert (!busy || (instr_q.bytes[3:0] == '0 && instr_q.bytes != '0
          && instr_q.dram_stride_1[3:0] == '0 && instr_q.dram_stride_2[3:0] == '0 && instr_q.dram_stride_3[3:0] == '0
          && instr_q.local_stride_1[3:0] == '0 && instr_q.local_stride_2[3:0] == '0 && instr_q.local_stride_3[3:0] == '0));
      loops_are_left: assert (!walking_q || (left_q.run != '0 && left_q.run <= instr_q.count_1 && left_q.middle != '0
          && left_q.middle <= instr_q.count_2 && left_q.outer != '0));
      // Where the design is: the run that is judged next, and one ahead of it.
      fields_are_kept: assert (!busy || (u_loop.bytes_q == instr_q.bytes && Bits'(u_loop.local_bytes_q) == local_bytes
          && u_loop.count_1_q == instr_q.count_1 && u_loop.count_2_q == instr_q.count_2
          && u_loop.dram_stride_1_q == instr_q.dram_stride_1 && u_loop.local_stride_1_q == instr_q.local_stride_1
          && u_loop.dram_stride_2_q == instr_q.dram_stride_2 && u_loop.local_stride_2_q == instr_q.local_stride_2
          && u_loop.dram_stride_3_q == instr_q.dram_stride_3 && u_loop.local_stride_3_q == instr_q.local_stride_3));
      walks: assert (walking_q == (u_loop.active_q || u_loop.ends_valid_q));
      walks_on_unless_at_the_last: assert (!u_loop.ends_valid_q || u_loop.active_q != last);
      judged_ends: assert (!u_loop.ends_valid_q || (Bits'(u_loop.dram_end_q) == dram_end && Bits'(u_loop.local_end_q) == local_end
          && u_loop.dram_start_q == dram_q.run[31:4] && u_loop.local_start_q == local_q.run[31:4]));
      ahead: assert (!u_loop.active_q || (u_loop.dram_1_q == dram_ahead.run[32:0] && u_loop.dram_2_q == dram_ahead.middle[32:0]
          && u_loop.dram_3_q == dram_ahead.outer[32:0] && u_loop.local_1_q == local_ahead.run[32:0]
          && u_loop.local_2_q == local_ahead.middle[32:0] && u_loop.local_3_q == local_ahead.outer[32:0]
          && {u_loop.left_1_q, u_loop.left_2_q, u_loop.left_3_q} == left_ahead));
      next_middle: cover (judged && fits && left_q.run == 16'd1 && left_q.middle != 16'd1 && instr_q.count_1 != 16'd1);
      next_outer: cover (judged && fits && left_q.run == 16'd1 && left_q.middle == 16'd1 && left_q.outer != 16'd1);
      fault_in_mid_nest: cover (fault && !first_of_outer);
      waits: cover (run_valid && !run_ready_i && u_loop.ends_valid_q);
      unpacks: cover (run_valid && unpack_q && last);
    end
  end

endmodule
