// The load unit: copies runs from a DRAM window to the activation, weight or table memory.
//
// transfer_loop walks and checks the runs, burst_splitter makes bursts of them; up to 32 are outstanding, so runs of 64
// bytes still hide the latency of DRAM. Read data is written in the order of the bursts, one beat per cycle. Once halted
// or faulted the unit swallows read data, so draining the bus never waits for a memory.
module load #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth   = 4,
    parameter int unsigned ActBytes    = 131072,
    parameter int unsigned WeightBytes = 131072,
    parameter int unsigned Experts     = 16
) (
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         instr_valid_i,
    output logic         instr_ready_o,
    input  logic [511:0] instr_i,
    output logic         done_o,
    output logic         fault_o,
    output logic [3:0]   fault_cause_o,
    input  logic         halt_i,
    output logic         idle_o,
    output logic         dram_stall_o,
    output logic         read_beat_o,

    input  logic [39:0] constant_base_i,
    input  logic [31:0] constant_size_i,
    input  logic [39:0] frame_base_i,
    input  logic [31:0] frame_size_i,
    input  logic [Experts-1:0][16:0] count_i,    // entries in the expert queues

    output logic                               act_wr_valid_o,
    input  logic                               act_wr_ready_i,
    output logic [31:0]                        act_wr_address_o,
    output logic [16*TileColumns-1:0]          act_wr_data_o,
    output logic [2*TileColumns-1:0]           act_wr_strobe_o,
    output logic                               weight_wr_valid_o,
    input  logic                               weight_wr_ready_i,
    output logic [31:0]                        weight_wr_address_o,
    output logic [8*TileColumns*TileDepth-1:0] weight_wr_data_o,
    output logic [TileColumns*TileDepth-1:0]   weight_wr_strobe_o,
    output logic                               table_wr_valid_o,
    input  logic                               table_wr_ready_i,
    output logic [31:0]                        table_wr_address_o,
    output logic [127:0]                       table_wr_data_o,

    output logic [39:0]  m_axi_araddr,
    output logic [7:0]   m_axi_arlen,
    output logic [2:0]   m_axi_arsize,
    output logic [1:0]   m_axi_arburst,
    output logic [3:0]   m_axi_arcache,
    output logic [2:0]   m_axi_arprot,
    output logic         m_axi_arvalid,
    input  logic         m_axi_arready,
    input  logic [127:0] m_axi_rdata,
    input  logic [1:0]   m_axi_rresp,
    input  logic         m_axi_rlast,
    input  logic         m_axi_rvalid,
    output logic         m_axi_rready
);

  localparam int unsigned ActWordBytes    = 2 * TileColumns;
  localparam int unsigned WeightWordBytes = TileColumns * TileDepth;
  localparam int unsigned TableBytes      = 2048;
  localparam int unsigned Outstanding     = 32;

  isa_pkg::load_t instr;
  assign instr = instr_i;

  logic busy_q, faulted_q, fault_q, done_q, space_q;
  logic [1:0] destination_q;
  logic [3:0] cause_q;

  // Decode. An expert that the machine does not have has no queue to look at.
  logic accept, bad, skip, start;
  logic [31:0] queue_count;
  always_comb begin
    queue_count = '0;
    for (int e = 0; e < int'(Experts); e++) if (instr.queue == 8'(e)) queue_count = 32'(count_i[e]);
  end
  assign accept = instr_valid_i && instr_ready_o;
  assign bad    = 4'(instr.destination) > isa_pkg::LOAD_TO_TABLE
                  || (instr.skip_if_empty && 32'(instr.queue) >= Experts);
  assign skip   = instr.skip_if_empty && queue_count == '0;
  assign start  = accept && !bad && !skip;

  logic [31:0] local_size;
  always_comb begin
    case (4'(destination_q))
      isa_pkg::LOAD_TO_ACT:    local_size = ActBytes;
      isa_pkg::LOAD_TO_WEIGHT: local_size = WeightBytes;
      default:                 local_size = TableBytes;
    endcase
  end

  logic run_valid, run_ready, loop_busy, loop_fault;
  logic [39:0] run_address;
  logic [31:0] run_local;
  logic [27:0] run_beats;

  transfer_loop u_loop (
      .clk_i,
      .rst_ni,
      .start_i      (start),
      .instr_i      (instr_i),
      .window_base_i(space_q ? frame_base_i : constant_base_i),
      .window_size_i(space_q ? frame_size_i : constant_size_i),
      .local_size_i (local_size),
      .run_valid_o  (run_valid),
      .run_ready_i  (run_ready),
      .run_address_o(run_address),
      .run_local_o  (run_local),
      .run_beats_o  (run_beats),
      .busy_o       (loop_busy),
      .fault_o      (loop_fault)
  );

  logic burst_valid, burst_ready;
  logic [39:0] burst_address;
  logic [31:0] burst_local;
  logic [7:0] burst_length;

  burst_splitter #(
      .MaxBeats(64)
  ) u_splitter (
      .clk_i,
      .rst_ni,
      .run_valid_i    (run_valid),
      .run_ready_o    (run_ready),
      .run_address_i  (run_address),
      .run_local_i    (run_local),
      .run_beats_i    (run_beats),
      .burst_valid_o  (burst_valid),
      .burst_ready_i  (burst_ready),
      .burst_address_o(burst_address),
      .burst_local_o  (burst_local),
      .burst_length_o (burst_length)
  );

  // Address channel. Every burst leaves a note of where its data goes.
  logic arvalid_q;
  logic [39:0] araddr_q;
  logic [7:0] arlen_q;
  logic note_ready, note_valid, note_pop;
  logic [31:0] note_local;
  logic [7:0] note_length;

  assign burst_ready   = note_ready && (!arvalid_q || m_axi_arready) && !halt_i && !faulted_q;
  assign m_axi_arvalid = arvalid_q;
  assign m_axi_araddr  = araddr_q;
  assign m_axi_arlen   = arlen_q;
  assign m_axi_arsize  = 3'd4;       // 16 bytes
  assign m_axi_arburst = 2'b01;      // INCR
  assign m_axi_arcache = 4'b0011;    // normal, bufferable, not cached
  assign m_axi_arprot  = 3'b000;

  fifo #(
      .Width(40),
      .Depth(Outstanding)
  ) u_notes (
      .clk_i,
      .rst_ni,
      .valid_i(burst_valid && burst_ready),
      .ready_o(note_ready),
      .data_i ({burst_local, burst_length}),
      .valid_o(note_valid),
      .ready_i(note_pop),
      .data_o ({note_local, note_length})
  );

  // Data channel.
  logic beat_valid, beat_ready, beat_last;
  logic [127:0] beat_data;
  logic [1:0] beat_response;

  skid_buffer #(
      .Width(131)
  ) u_beats (
      .clk_i,
      .rst_ni,
      .valid_i(m_axi_rvalid),
      .ready_o(m_axi_rready),
      .data_i ({m_axi_rlast, m_axi_rresp, m_axi_rdata}),
      .valid_o(beat_valid),
      .ready_i(beat_ready),
      .data_o ({beat_last, beat_response, beat_data})
  );

  logic [7:0] beat_index_q;
  logic [31:0] local_address;
  logic note_last, beat_error, drop, write, taken;

  assign local_address = note_local + {20'd0, beat_index_q, 4'd0};
  assign note_last     = beat_index_q == note_length;
  assign beat_error    = beat_response[1] || beat_last != note_last;
  assign drop          = halt_i || faulted_q || beat_error;
  assign write         = beat_valid && note_valid && !drop;
  assign taken         = beat_valid && beat_ready;
  assign note_pop      = taken && note_last;

  assign act_wr_valid_o      = write && 4'(destination_q) == isa_pkg::LOAD_TO_ACT;
  assign act_wr_address_o    = local_address >> $clog2(ActWordBytes);
  assign act_wr_data_o       = {ActWordBytes / 16{beat_data}};
  assign weight_wr_valid_o   = write && 4'(destination_q) == isa_pkg::LOAD_TO_WEIGHT;
  assign weight_wr_address_o = local_address >> $clog2(WeightWordBytes);
  assign weight_wr_data_o    = {WeightWordBytes / 16{beat_data}};
  assign table_wr_valid_o    = write && 4'(destination_q) == isa_pkg::LOAD_TO_TABLE;
  assign table_wr_address_o  = local_address;
  assign table_wr_data_o     = beat_data;

  always_comb begin
    for (int i = 0; i < int'(ActWordBytes / 16); i++)
      act_wr_strobe_o[16*i+:16] = {16{(local_address & (ActWordBytes - 1)) == 32'(16 * i)}};
    for (int i = 0; i < int'(WeightWordBytes / 16); i++)
      weight_wr_strobe_o[16*i+:16] = {16{(local_address & (WeightWordBytes - 1)) == 32'(16 * i)}};
    case (4'(destination_q))
      isa_pkg::LOAD_TO_ACT:    beat_ready = note_valid && (drop || act_wr_ready_i);
      isa_pkg::LOAD_TO_WEIGHT: beat_ready = note_valid && (drop || weight_wr_ready_i);
      default:                 beat_ready = note_valid && (drop || table_wr_ready_i);
    endcase
  end

  logic finished;
  assign finished = busy_q && !loop_busy && !loop_fault && !burst_valid && !note_valid && !faulted_q;

  assign instr_ready_o = !busy_q;
  assign done_o        = done_q;
  assign fault_o       = fault_q;
  assign fault_cause_o = cause_q;
  assign idle_o        = !arvalid_q && !note_valid;
  assign dram_stall_o  = note_valid && !beat_valid;
  assign read_beat_o   = m_axi_rvalid && m_axi_rready;

  always_ff @(posedge clk_i) begin
    done_q  <= 1'b0;
    fault_q <= 1'b0;
    if (accept) begin
      busy_q        <= 1'b1;
      space_q       <= instr.space;
      destination_q <= instr.destination;
    end
    if (burst_ready) begin
      arvalid_q <= burst_valid;
      araddr_q  <= burst_address;
      arlen_q   <= burst_length;
    end else if (m_axi_arready) begin
      arvalid_q <= 1'b0;
    end
    if (taken) beat_index_q <= note_last ? 8'd0 : beat_index_q + 8'd1;
    if (finished) begin
      busy_q <= 1'b0;
      done_q <= 1'b1;
    end
    if (!faulted_q && !halt_i) begin
      if (accept && bad) begin
        faulted_q <= 1'b1;
        fault_q   <= 1'b1;
        cause_q   <= isa_pkg::FAULT_BAD_INSTRUCTION;
      end else if (loop_fault) begin
        faulted_q <= 1'b1;
        fault_q   <= 1'b1;
        cause_q   <= isa_pkg::FAULT_ADDRESS;
      end else if (taken && beat_error) begin
        faulted_q <= 1'b1;
        fault_q   <= 1'b1;
        cause_q   <= isa_pkg::FAULT_AXI_READ;
      end
    end
    if (!rst_ni) begin
      busy_q       <= 1'b0;
      done_q       <= 1'b0;
      fault_q      <= 1'b0;
      faulted_q    <= 1'b0;
      arvalid_q    <= 1'b0;
      beat_index_q <= '0;
    end
  end

  logic unused;
  assign unused = &{1'b0, instr.unused_480, instr.local_stride_3, instr.dram_stride_3, instr.local_stride_2,
                    instr.dram_stride_2, instr.local_stride_1, instr.dram_stride_1, instr.unused_280, instr.count_3,
                    instr.count_2, instr.count_1, instr.bytes, instr.local_address, instr.dram_offset, instr.tag,
                    instr.unused_89, instr.signal_mask, instr.unused_57, instr.wait_mask, instr.unused_12,
                    instr.opcode, beat_response[0]};

endmodule
