// Reads the program from the constant window ahead of execution and sends each instruction to the queue of its unit.
//
// Bursts carry up to four instructions, never cross 4 KiB and never pass the end of the program or of the window; they
// are asked for only when the buffer has room for all their data. A bus error counts only if the instruction is reached, and so does
// an illegal instruction: an unknown opcode, a semaphore of another unit, or fields that break a rule of the instruction table.
module moesaic_fetch #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth   = 4,
    parameter int unsigned Experts     = 16,
    parameter int unsigned QueueTokens = 128
) (
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         start_i,
    input  logic [39:0]  constant_base_i,
    input  logic [31:0]  constant_size_i,
    input  logic [31:0]  program_offset_i,    // multiple of 64
    input  logic [31:0]  program_size_i,
    input  logic         halt_i,
    output logic         idle_o,
    output logic         read_beat_o,
    output logic         end_o,               // `end` was reached: all instructions before it are with their units
    output logic         fault_o,
    output logic [3:0]   fault_cause_o,

    output logic [moesaic_isa_pkg::UNITS-1:0] dispatch_valid_o,    // one hot, indexed by unit
    input  logic [moesaic_isa_pkg::UNITS-1:0] dispatch_ready_i,
    output logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] dispatch_instr_o,

    output moesaic_axi_pkg::read_request_t  m_axi_o,
    input  moesaic_axi_pkg::read_response_t m_axi_i
);

  localparam int unsigned BufferInstructions = 16;
  localparam int unsigned BurstInstructions  = 4;    // of 64 bytes, so that a burst is of 256 and its bounds are of few bits
  localparam int unsigned Units              = moesaic_isa_pkg::UNITS;

  // Prefetch. The first two cycles find out how many whole instructions lie before the end of program and window.
  logic limit_valid_q, ready_q, stopped_q;
  logic [31:0] limit_q;
  logic [39:0] address_q;
  logic [26:0] left_q;          // instructions not yet asked for
  logic [4:0] room_q;           // instructions that the buffer can still take, less the one that left it in the cycle before
  logic freed_q;
  logic [6:0] outstanding_q;    // beats
  logic arvalid_q;
  logic [39:0] araddr_q;
  logic [7:0] arlen_q;

  logic [32:0] program_end, window_end;
  logic [2:0] to_boundary, to_end, burst;
  logic ask, beat, drop;

  assign program_end = {1'b0, program_offset_i} + {1'b0, program_size_i};
  assign window_end  = {1'b0, constant_size_i};
  // Less than a burst to a boundary of 4 KiB, or to the end: few bits tell.
  assign to_boundary = (&address_q[11:8]) ? 3'(BurstInstructions) - 3'(address_q[7:6]) : 3'(BurstInstructions);
  assign to_end      = (left_q[26:2] == '0) ? 3'(left_q[1:0]) : 3'(BurstInstructions);
  assign burst       = (to_end < to_boundary) ? to_end : to_boundary;
  assign ask  = ready_q && !stopped_q && !halt_i && left_q != '0 && room_q >= 5'(burst) && (!arvalid_q || m_axi_i.arready);
  assign beat = m_axi_i.rvalid;
  assign drop = stopped_q || halt_i;

  assign m_axi_o.arvalid = arvalid_q;
  assign m_axi_o.ar      = moesaic_axi_pkg::burst(araddr_q, arlen_q);
  assign m_axi_o.rready  = 1'b1;
  assign idle_o        = !arvalid_q && outstanding_q == '0;
  assign read_beat_o   = beat;

  logic buffer_ready, buffer_valid, buffer_pop, buffer_error;
  logic [127:0] buffer_data;
  moesaic_fifo #(
      .Width($bits({buffer_error, buffer_data})),
      .Depth(4 * BufferInstructions)
  ) u_buffer (
      .clk_i,
      .rst_ni,
      .valid_i(beat && !drop),
      .ready_o(buffer_ready),
      .data_i ({m_axi_i.r.resp[1], m_axi_i.r.data}),
      .valid_o(buffer_valid),
      .ready_i(buffer_pop),
      .data_o ({buffer_error, buffer_data})
  );

  // Four beats make an instruction, the first the least significant, each with an enable of its own, of 128 loads.
  logic instr_valid_q, instr_error_q;
  logic [1:0] beats_q;
  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] instr_q;

  // The header comes with the first beat, and is decoded while the last one arrives.
  moesaic_isa_pkg::header_t header;
  assign header = instr_q;

  logic is_end, own_semaphores, legal_q, is_end_q, good, sent, resolve;
  logic [Units-1:0] unit, unit_q;
  logic [moesaic_isa_pkg::SEMAPHORES-1:0] may_wait, may_signal;
  assign unit   = moesaic_isa_pkg::unit_of(header.opcode);
  assign is_end = header.opcode == moesaic_isa_pkg::OPCODE_END;
  always_comb begin
    for (int p = 0; p < int'(Units); p++) begin
      for (int c = 0; c < int'(Units); c++) begin
        may_wait[p*int'(Units)+c]   = unit[c];
        may_signal[p*int'(Units)+c] = unit[p];
      end
    end
  end
  assign own_semaphores = (header.wait_mask & ~may_wait) == '0 && (header.signal_mask & ~may_signal) == '0;

  // A beat is judged from its registers while the next one arrives, the last one as it arrives.
  logic [31:0] word_0_q;
  logic [3:0] beat_legal;
  assign beat_legal[0] = moesaic_isa_pkg::legal_beat_0(word_0_q);
  assign beat_legal[1] = moesaic_isa_pkg::legal_beat_1(word_0_q, instr_q[255:128], TileColumns, TileDepth, Experts, QueueTokens);
  assign beat_legal[2] = moesaic_isa_pkg::legal_beat_2(word_0_q, instr_q[383:256], TileColumns, TileDepth, Experts);
  assign beat_legal[3] = moesaic_isa_pkg::legal_beat_3(word_0_q, buffer_data, TileColumns, TileDepth);
  assign good           = legal_q && !instr_error_q;
  assign resolve        = instr_valid_q && !stopped_q;
  assign sent           = |(dispatch_valid_o & dispatch_ready_i);
  assign buffer_pop     = buffer_valid && (!instr_valid_q || sent) && !stopped_q;

  assign dispatch_valid_o = resolve && good ? unit_q : '0;
  assign dispatch_instr_o = instr_q;

  logic end_q, fault_q;
  logic [3:0] cause_q;
  assign end_o         = end_q;
  assign fault_o       = fault_q;
  assign fault_cause_o = cause_q;

  // Nothing changes that any more, so it may be known late.
  logic exhausted_q;

  always_ff @(posedge clk_i) begin
    fault_q       <= 1'b0;
    exhausted_q   <= rst_ni && ready_q && left_q == '0 && idle_o && !buffer_valid && !instr_valid_q;
    limit_valid_q <= start_i;
    limit_q       <= program_end < window_end ? program_end[31:0] : constant_size_i;
    if (limit_valid_q) begin
      ready_q   <= 1'b1;
      left_q    <= limit_q > program_offset_i ? 27'((limit_q - program_offset_i) >> 6) : '0;
      address_q <= constant_base_i + 40'(program_offset_i);
    end else if (ask) begin
      left_q    <= left_q - 27'(burst);
      address_q <= address_q + {31'd0, burst, 6'd0};
    end
    if (ask) begin
      arvalid_q <= 1'b1;
      araddr_q  <= address_q;
      arlen_q   <= {3'd0, burst, 2'b00} - 8'd1;
    end else if (m_axi_i.arready) begin
      arvalid_q <= 1'b0;
    end
    outstanding_q <= outstanding_q + (ask ? {2'd0, burst, 2'b00} : 7'd0) - 7'(beat);
    freed_q       <= buffer_pop && beats_q == 2'd3;
    room_q        <= room_q - (ask ? 5'(burst) : 5'd0) + 5'(freed_q);

    if (buffer_pop) begin
      unit_q        <= unit;
      is_end_q      <= is_end;
      unique case (beats_q)
        2'd0: begin
          word_0_q <= buffer_data[31:0];
          legal_q  <= 1'b1;
        end
        2'd1:    legal_q <= beat_legal[0];
        2'd2:    legal_q <= legal_q && beat_legal[1];
        2'd3:    legal_q <= is_end || (legal_q && beat_legal[2] && beat_legal[3] && unit != '0 && own_semaphores);
      endcase
      instr_error_q <= buffer_error || (instr_error_q && beats_q != 2'd0);
      beats_q       <= beats_q + 2'd1;
    end
    for (int b = 0; b < 4; b++) if (buffer_pop && beats_q == 2'(b)) instr_q[128*b+:128] <= buffer_data;
    if (buffer_pop && beats_q == 2'd3) instr_valid_q <= 1'b1;
    else if (sent) instr_valid_q <= 1'b0;

    if (resolve && good && is_end_q) begin
      stopped_q <= 1'b1;
      end_q     <= 1'b1;
    end else if (resolve && !good) begin
      stopped_q <= 1'b1;
      fault_q   <= 1'b1;
      cause_q   <= instr_error_q ? moesaic_isa_pkg::FAULT_AXI_READ : moesaic_isa_pkg::FAULT_BAD_INSTRUCTION;
    end else if (exhausted_q && !stopped_q && !halt_i) begin
      stopped_q <= 1'b1;
      fault_q   <= 1'b1;
      cause_q   <= moesaic_isa_pkg::FAULT_ADDRESS;
    end
    if (!rst_ni) begin
      limit_valid_q <= 1'b0;
      ready_q       <= 1'b0;
      stopped_q     <= 1'b0;
      freed_q       <= 1'b0;
      room_q        <= 5'(BufferInstructions);
      outstanding_q <= '0;
      arvalid_q     <= 1'b0;
      instr_valid_q <= 1'b0;
      beats_q       <= '0;
      end_q         <= 1'b0;
      fault_q       <= 1'b0;
    end
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      buffer_never_refuses: assert (buffer_ready || drop || !beat);
      room_in_range: assert (room_q <= 5'(BufferInstructions));
      outstanding_in_range: assert (outstanding_q <= 7'(4 * BufferInstructions));
      beats_answer_a_burst: assert (outstanding_q != '0 || !beat);
      dispatched_to_one_unit: assert ((dispatch_valid_o & (dispatch_valid_o - 1'b1)) == '0);
    end
  end

  moesaic_handshake_rules #(
      .Width($bits(m_axi_o.ar))
  ) u_address_rules (
      .clk_i,
      .rst_ni,
      .valid_i  (m_axi_o.arvalid),
      .ready_i  (m_axi_i.arready),
      .payload_i(m_axi_o.ar)
  );
`endif

endmodule
