// The loop nest of load and store: walks the runs of an instruction, one per cycle, and checks each against its DRAM
// window and its on-chip memory. A run out of bounds raises fault_o and ends the walk before anything of it is emitted.
//
// 33 bits are enough for addresses that never wrap back into a window: each loop steps from the start of a run that was
// in bounds, so its end is below 2**32 before the step and below 2**33 after. A run that is unpacked takes twice its bytes on chip,
// which needs one bit more to find where it ends. Runs of no bytes are checked, not emitted.
module moesaic_transfer_loop (
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         start_i,          // only while busy_o is low
    input  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] instr_i,          // load_t; store_t has the same transfer fields
    input  logic         unpack_i,         // of the instruction
    input  logic [39:0]  window_base_i,    // these three must hold while busy_o is high
    input  logic [31:0]  window_size_i,
    input  logic [31:0]  local_size_i,
    output logic         run_valid_o,
    input  logic         run_ready_i,
    output logic [39:0]  run_address_o,    // in DRAM, multiple of 16
    output logic [31:0]  run_local_o,
    output logic [27:0]  run_beats_o,      // at least 1
    output logic         busy_o,
    output logic         fault_o
);

  localparam int unsigned Bits = 33;

  moesaic_isa_pkg::load_t instr;
  assign instr = instr_i;

  logic active_q, ends_valid_q, run_valid_q, fault_q;
  logic [15:0] count_1_q, count_2_q, left_1_q, left_2_q, left_3_q;
  logic [31:0] bytes_q;
  logic [32:0] local_bytes_q;
  logic [31:0] dram_stride_1_q, dram_stride_2_q, dram_stride_3_q;
  logic [31:0] local_stride_1_q, local_stride_2_q, local_stride_3_q;
  // Start of the current run, of the current middle iteration and of the current outer iteration.
  logic [Bits-1:0] dram_1_q, dram_2_q, dram_3_q, local_1_q, local_2_q, local_3_q;
  logic [31:4] dram_start_q, local_start_q;
  logic [Bits-1:0] dram_end_q;
  logic [Bits:0] local_end_q;
  logic [39:0] run_address_q;
  logic [31:0] run_local_q;

  logic move, last_1, last_2, last_3, bad;
  logic [Bits-1:0] dram_2_next, dram_3_next, local_2_next, local_3_next;

  assign move         = !run_valid_q || run_ready_i;
  assign last_1       = left_1_q == 16'd1;
  assign last_2       = left_2_q == 16'd1;
  assign last_3       = left_3_q == 16'd1;
  assign dram_2_next  = dram_2_q + Bits'(dram_stride_2_q);
  assign dram_3_next  = dram_3_q + Bits'(dram_stride_3_q);
  assign local_2_next = local_2_q + Bits'(local_stride_2_q);
  assign local_3_next = local_3_q + Bits'(local_stride_3_q);
  assign bad          = dram_end_q > Bits'(window_size_i) || local_end_q > (Bits + 1)'(local_size_i);

  assign run_valid_o   = run_valid_q;
  assign run_address_o = run_address_q;
  assign run_local_o   = run_local_q;
  assign run_beats_o   = bytes_q[31:4];
  assign busy_o        = active_q || ends_valid_q || run_valid_q;
  assign fault_o       = fault_q;

  always_ff @(posedge clk_i) begin
    fault_q <= 1'b0;
    // What stays as it is during the walk needs no start: that has enough loads, 258.
    if (!busy_o) begin
      bytes_q          <= instr.bytes;
      local_bytes_q    <= unpack_i ? {instr.bytes, 1'b0} : {1'b0, instr.bytes};
      count_1_q        <= instr.count_1;
      count_2_q        <= instr.count_2;
      dram_stride_1_q  <= instr.dram_stride_1;
      dram_stride_2_q  <= instr.dram_stride_2;
      dram_stride_3_q  <= instr.dram_stride_3;
      local_stride_1_q <= instr.local_stride_1;
      local_stride_2_q <= instr.local_stride_2;
      local_stride_3_q <= instr.local_stride_3;
    end
    if (start_i) begin
      active_q         <= 1'b1;
      left_1_q         <= instr.count_1;
      left_2_q         <= instr.count_2;
      left_3_q         <= instr.count_3;
      dram_1_q         <= Bits'(instr.dram_offset);
      dram_2_q         <= Bits'(instr.dram_offset);
      dram_3_q         <= Bits'(instr.dram_offset);
      local_1_q        <= Bits'(instr.local_address);
      local_2_q        <= Bits'(instr.local_address);
      local_3_q        <= Bits'(instr.local_address);
    end else if (move) begin
      // Stage 1: step the loops and find where the run ends.
      ends_valid_q  <= active_q;
      dram_start_q  <= dram_1_q[31:4];
      dram_end_q    <= dram_1_q + Bits'(bytes_q);
      local_start_q <= local_1_q[31:4];
      local_end_q   <= (Bits + 1)'(local_1_q) + (Bits + 1)'(local_bytes_q);
      if (active_q) begin
        dram_1_q  <= dram_1_q + Bits'(dram_stride_1_q);
        local_1_q <= local_1_q + Bits'(local_stride_1_q);
        left_1_q  <= left_1_q - 16'd1;
        if (last_1) begin
          left_1_q  <= count_1_q;
          left_2_q  <= left_2_q - 16'd1;
          dram_1_q  <= dram_2_next;
          dram_2_q  <= dram_2_next;
          local_1_q <= local_2_next;
          local_2_q <= local_2_next;
          if (last_2) begin
            left_2_q  <= count_2_q;
            left_3_q  <= left_3_q - 16'd1;
            dram_1_q  <= dram_3_next;
            dram_2_q  <= dram_3_next;
            dram_3_q  <= dram_3_next;
            local_1_q <= local_3_next;
            local_2_q <= local_3_next;
            local_3_q <= local_3_next;
            if (last_3) active_q <= 1'b0;
          end
        end
      end
      // Stage 2: check the bounds.
      run_valid_q   <= ends_valid_q && !bad;
      run_address_q <= window_base_i + {8'd0, dram_start_q, 4'd0};
      run_local_q   <= {local_start_q, 4'd0};
      if (ends_valid_q && bad) begin
        fault_q      <= 1'b1;
        active_q     <= 1'b0;
        ends_valid_q <= 1'b0;
      end
    end
    if (!rst_ni) begin
      active_q     <= 1'b0;
      ends_valid_q <= 1'b0;
      run_valid_q  <= 1'b0;
      fault_q      <= 1'b0;
    end
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      starts_only_when_idle: assert (!busy_o || !start_i);
      loops_never_wrap: assert (!active_q || (left_1_q != '0 && left_2_q != '0 && left_3_q != '0));
    end
  end

  moesaic_handshake_rules #(
      .Width($bits({run_address_o, run_local_o, run_beats_o}))
  ) u_run_rules (
      .clk_i,
      .rst_ni,
      .valid_i  (run_valid_o),
      .ready_i  (run_ready_i),
      .payload_i({run_address_o, run_local_o, run_beats_o})
  );
`endif

endmodule
