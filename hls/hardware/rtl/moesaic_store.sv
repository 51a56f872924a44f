// The store unit: copies runs from the activation memory to the frame window.
//
// A burst's address goes out only when all its data has been read, so the write channel never waits for a memory, also
// while halting. Done follows the last write response.
module moesaic_store #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned ActBytes    = 131072,
    parameter int unsigned MaxBeats    = 16,    // of a burst
    parameter int unsigned DataBeats   = 64,    // buffered; at least 2 * MaxBeats, so reading overlaps sending
    parameter int unsigned Bursts      = 16     // outstanding at most
) (
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         instr_valid_i,
    output logic         instr_ready_o,
    input  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] instr_i,
    output logic         done_o,
    output logic         fault_o,
    output logic [3:0]   fault_cause_o,
    input  logic         halt_i,
    output logic         idle_o,
    output logic         dram_stall_o,
    output logic         write_beat_o,

    input  logic [39:0] frame_base_i,
    input  logic [31:0] frame_size_i,

    output logic                      act_rd_valid_o,
    input  logic                      act_rd_ready_i,
    output logic [31:0]               act_rd_address_o,
    input  logic                      act_rd_data_valid_i,
    input  logic [16*TileColumns-1:0] act_rd_data_i,

    output moesaic_axi_pkg::write_request_t  m_axi_o,
    input  moesaic_axi_pkg::write_response_t m_axi_i
);

  localparam int unsigned WordBytes = 2 * TileColumns;

  logic busy_q, faulted_q, fault_q, done_q;
  logic [3:0] cause_q;
  logic accept;

  assign accept = instr_valid_i && instr_ready_o;

  logic run_valid, run_ready, loop_busy, loop_fault, splitter_busy;
  logic [39:0] run_address;
  logic [31:0] run_local;
  logic [27:0] run_beats;

  moesaic_transfer_loop u_loop (
      .clk_i,
      .rst_ni,
      .start_i      (accept),
      .instr_i      (instr_i),
      .unpack_i     (1'b0),
      .window_base_i(frame_base_i),
      .window_size_i(frame_size_i),
      .local_size_i (ActBytes),
      .run_valid_o  (run_valid),
      .run_ready_i  (run_ready),
      .run_address_o(run_address),
      .run_local_o  (run_local),
      .run_beats_o  (run_beats),
      .busy_o       (loop_busy),
      .fault_o      (loop_fault)
  );

  logic cut_valid, cut_ready, burst_valid, burst_ready;
  logic [39:0] cut_address, burst_address;
  logic [31:0] cut_local, burst_local;
  logic [7:0] cut_length, burst_length;

  moesaic_burst_splitter #(
      .MaxBeats(MaxBeats)
  ) u_splitter (
      .clk_i,
      .rst_ni,
      .run_valid_i    (run_valid),
      .run_ready_o    (run_ready),
      .run_address_i  (run_address),
      .run_local_i    (run_local),
      .run_beats_i    (run_beats),
      .burst_valid_o  (cut_valid),
      .burst_ready_i  (cut_ready),
      .burst_address_o(cut_address),
      .burst_local_o  (cut_local),
      .burst_length_o (cut_length),
      .busy_o         (splitter_busy)
  );

  moesaic_skid_buffer #(
      .Width($bits({burst_address, burst_local, burst_length}))
  ) u_bursts (
      .clk_i,
      .rst_ni,
      .valid_i(cut_valid),
      .ready_o(cut_ready),
      .data_i ({cut_address, cut_local, cut_length}),
      .valid_o(burst_valid),
      .ready_i(burst_ready),
      .data_o ({burst_address, burst_local, burst_length})
  );

  // Read the beats of the burst; a credit is a free place in the data buffer.
  logic [7:0] beat_index_q;
  logic [6:0] credits_q;
  logic [31:0] local_address;
  logic request, requested, request_ready, beat_last, note_ready;

  assign local_address = burst_local + {20'd0, beat_index_q, 4'd0};
  assign beat_last     = beat_index_q == burst_length;
  assign request       = burst_valid && note_ready && credits_q != '0;
  assign requested     = request && request_ready;
  assign burst_ready   = requested && beat_last;

  // The activation memory decides late in a cycle whom it serves, so its grant moves nothing but this.
  logic [31:0] rd_address;
  logic rd_last;
  moesaic_skid_buffer #(
      .Width($bits({rd_address, rd_last}))
  ) u_request (
      .clk_i,
      .rst_ni,
      .valid_i(request),
      .ready_o(request_ready),
      .data_i ({local_address, beat_last}),
      .valid_o(act_rd_valid_o),
      .ready_i(act_rd_ready_i),
      .data_o ({rd_address, rd_last})
  );
  assign act_rd_address_o = rd_address >> $clog2(WordBytes);

  // What the answer is for travels along.
  localparam int unsigned AnswerCycles = moesaic_memory_pkg::ACT_READ_CYCLES;
  localparam int unsigned OffsetBits = $clog2(WordBytes);
  logic [AnswerCycles-1:0] last_late_q;
  logic [AnswerCycles-1:0][OffsetBits-1:0] offset_late_q;
  logic [127:0] beat_data;
  always_comb begin
    beat_data = '0;
    for (int i = 0; i < int'(WordBytes / 16); i++)
      if (offset_late_q[AnswerCycles-1] == OffsetBits'(16 * i)) beat_data = act_rd_data_i[128*i+:128];
  end

  logic data_ready, data_valid, data_pop, data_last;
  logic [127:0] data;
  moesaic_fifo #(
      .Width($bits({data_last, data})),
      .Depth(DataBeats)
  ) u_data (
      .clk_i,
      .rst_ni,
      .valid_i(act_rd_data_valid_i),
      .ready_o(data_ready),
      .data_i ({last_late_q[AnswerCycles-1], beat_data}),
      .valid_o(data_valid),
      .ready_i(data_pop),
      .data_o ({data_last, data})
  );

  logic note_valid, send;
  logic [39:0] note_address;
  logic [7:0] note_length;
  moesaic_fifo #(
      .Width($bits({note_address, note_length})),
      .Depth(Bursts)
  ) u_notes (
      .clk_i,
      .rst_ni,
      .valid_i(burst_valid && burst_ready),
      .ready_o(note_ready),
      .data_i ({burst_address, burst_length}),
      .valid_o(note_valid),
      .ready_i(send),
      .data_o ({note_address, note_length})
  );

  // Send a burst once all its beats are in the buffer. buffered_q counts beats of bursts not yet sent, sending_q beats
  // of bursts whose address has gone out.
  logic awvalid_q, wvalid_q, wlast_q;
  logic [39:0] awaddr_q;
  logic [7:0] awlen_q;
  logic [127:0] wdata_q;
  logic [6:0] buffered_q, sending_q, burst_beats;
  logic [4:0] outstanding_q;
  logic response;

  assign burst_beats = 7'(note_length) + 7'd1;
  assign send        = note_valid && buffered_q >= burst_beats && (!awvalid_q || m_axi_i.awready)
                       && outstanding_q != 5'(Bursts) && !halt_i && !faulted_q;
  assign data_pop    = sending_q != '0 && (!wvalid_q || m_axi_i.wready);
  assign response    = m_axi_i.bvalid;

  assign m_axi_o.awvalid = awvalid_q;
  assign m_axi_o.aw      = moesaic_axi_pkg::burst(awaddr_q, awlen_q);
  assign m_axi_o.wvalid  = wvalid_q;
  assign m_axi_o.w.data  = wdata_q;
  assign m_axi_o.w.strb  = '1;
  assign m_axi_o.w.last  = wlast_q;
  assign m_axi_o.bready  = 1'b1;

  logic finished;
  assign finished = busy_q && !loop_busy && !loop_fault && !splitter_busy && !burst_valid && !note_valid
                    && outstanding_q == '0 && !faulted_q;

  assign instr_ready_o = !busy_q;
  assign done_o        = done_q;
  assign fault_o       = fault_q;
  assign fault_cause_o = cause_q;
  assign idle_o        = outstanding_q == '0;
  assign dram_stall_o  = (awvalid_q && !m_axi_i.awready) || (wvalid_q && !m_axi_i.wready)
                         || (outstanding_q != '0 && !awvalid_q && !wvalid_q && sending_q == '0);
  assign write_beat_o  = wvalid_q && m_axi_i.wready;

  always_ff @(posedge clk_i) begin
    done_q  <= 1'b0;
    fault_q <= 1'b0;
    if (accept) busy_q <= 1'b1;

    if (requested) beat_index_q <= beat_last ? 8'd0 : beat_index_q + 8'd1;
    credits_q  <= credits_q + 7'(data_pop) - 7'(requested);
    last_late_q   <= {last_late_q[AnswerCycles-2:0], rd_last};
    offset_late_q <= {offset_late_q[AnswerCycles-2:0], rd_address[OffsetBits-1:0]};

    if (send) begin
      awvalid_q <= 1'b1;
      awaddr_q  <= note_address;
      awlen_q   <= note_length;
    end else if (m_axi_i.awready) begin
      awvalid_q <= 1'b0;
    end
    if (data_pop) begin
      wvalid_q <= 1'b1;
      wdata_q  <= data;
      wlast_q  <= data_last;
    end else if (m_axi_i.wready) begin
      wvalid_q <= 1'b0;
    end
    buffered_q    <= buffered_q + 7'(act_rd_data_valid_i) - (send ? burst_beats : 7'd0);
    sending_q     <= sending_q + (send ? burst_beats : 7'd0) - 7'(data_pop);
    outstanding_q <= outstanding_q + 5'(send) - 5'(response);

    if (finished) begin
      busy_q <= 1'b0;
      done_q <= 1'b1;
    end
    if (!faulted_q && !halt_i) begin
      if (loop_fault) begin
        faulted_q <= 1'b1;
        fault_q   <= 1'b1;
        cause_q   <= moesaic_isa_pkg::FAULT_ADDRESS;
      end else if (response && m_axi_i.bresp[1]) begin
        faulted_q <= 1'b1;
        fault_q   <= 1'b1;
        cause_q   <= moesaic_isa_pkg::FAULT_AXI_WRITE;
      end
    end
    if (!rst_ni) begin
      busy_q        <= 1'b0;
      done_q        <= 1'b0;
      fault_q       <= 1'b0;
      faulted_q     <= 1'b0;
      beat_index_q  <= '0;
      credits_q     <= 7'(DataBeats);
      awvalid_q     <= 1'b0;
      wvalid_q      <= 1'b0;
      buffered_q    <= '0;
      sending_q     <= '0;
      outstanding_q <= '0;
    end
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      credits_in_range: assert (credits_q <= 7'(DataBeats));
      buffered_in_range: assert (buffered_q <= 7'(DataBeats));
      sending_in_range: assert (sending_q <= 7'(DataBeats));
      outstanding_in_range: assert (outstanding_q <= 5'(Bursts));
      data_never_refused: assert (data_ready || !act_rd_data_valid_i);
      data_there_to_send: assert (data_valid || !data_pop);
      burst_noted_when_read: assert (note_ready || !burst_ready);
      responses_answer_a_burst: assert (outstanding_q != '0 || !response);
    end
  end

  moesaic_handshake_rules #(
      .Width($bits(m_axi_o.aw))
  ) u_address_rules (
      .clk_i,
      .rst_ni,
      .valid_i  (m_axi_o.awvalid),
      .ready_i  (m_axi_i.awready),
      .payload_i(m_axi_o.aw)
  );

  moesaic_handshake_rules #(
      .Width($bits(m_axi_o.w))
  ) u_data_rules (
      .clk_i,
      .rst_ni,
      .valid_i  (m_axi_o.wvalid),
      .ready_i  (m_axi_i.wready),
      .payload_i(m_axi_o.w)
  );
`endif

endmodule
