// The load unit: copies runs from a DRAM window to the activation, weight or table memory.
//
// transfer_loop walks and checks the runs, burst_splitter makes bursts of them, and they go round the ports (load_port), whose
// words are written one per cycle: a port's turn is chosen in one cycle, its word in the next, lane by lane with copies of the choice, of
// 128 loads each, and waits in one of two entries. Two instructions may be in flight: once all bursts of one are asked for, the next one is
// walked. An instruction is complete when the memory has accepted the last word of each of its bursts. Once halted or faulted
// the unit swallows read data, so draining the bus never waits for a memory.
//
// Of a load that unpacks, a beat fills 32 bytes on chip: behind the loop its addresses on chip are halved, so that they count beats, too.
module moesaic_load #(
    parameter int unsigned LoadPorts   = 3,
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth   = 4,
    parameter int unsigned ActBytes    = 131072,
    parameter int unsigned WeightBytes = 163840,    // that weight addresses reach
    parameter int unsigned Experts     = 16
) (
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         instr_valid_i,
    output logic         instr_ready_o,
    input  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] instr_i,
    output logic         done_o,
    output logic         fault_o,
    output logic [3:0]   fault_cause_o,
    output logic         fault_older_o,
    input  logic         halt_i,
    output logic         idle_o,
    output logic         dram_stall_o,
    output logic [LoadPorts-1:0] read_beats_o,

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

    output logic [LoadPorts-1:0][moesaic_axi_pkg::READ_REQUEST_BITS-1:0]  m_axi_o,
    input  logic [LoadPorts-1:0][moesaic_axi_pkg::READ_RESPONSE_BITS-1:0] m_axi_i
);

  localparam int unsigned ActWordBytes    = 2 * TileColumns;
  localparam int unsigned WeightWordBytes = TileColumns * TileDepth;
  localparam int unsigned Lanes           = WeightWordBytes / 16;
  localparam int unsigned TableBytes      = 2 * moesaic_isa_pkg::TABLE_ENTRIES;
  localparam int unsigned MaxBeats        = Lanes > 16 ? Lanes : 16;
  localparam int unsigned TagBits         = Lanes + 32;    // strobes; address, destination, owner, end of burst
  localparam int unsigned BurstBits       = 8;    // of a count of bursts: four ports hold fewer than 64 each

  moesaic_isa_pkg::load_t instr;
  assign instr = instr_i;

  // Instructions in flight are told apart by one bit, which alternates. The one accepted last is walked; loaded_q is
  // the number in flight.
  logic walked_q, space_q, unpack_q, faulted_q;
  logic [1:0] destination_q, loaded_q;
  logic [1:0][BurstBits-1:0] bursts_q;    // asked for, and not yet written
  logic oldest, walking;

  // Decode. An expert that the machine does not have has no queue to look at.
  logic accept, skip, start;
  logic [31:0] queue_count;
  always_comb begin
    queue_count = '0;
    for (int e = 0; e < int'(Experts); e++) if (instr.queue == 8'(e)) queue_count = 32'(count_i[e]);
  end
  assign accept = instr_valid_i && instr_ready_o;
  assign skip   = instr.skip_if_empty && queue_count == '0;
  assign start  = accept && !skip;

  logic [31:0] local_size;
  always_comb begin
    case (4'(destination_q))
      moesaic_isa_pkg::LOAD_TO_ACT:    local_size = ActBytes;
      moesaic_isa_pkg::LOAD_TO_WEIGHT: local_size = WeightBytes;
      default:                 local_size = TableBytes;
    endcase
  end

  logic run_valid, run_ready, loop_busy, loop_fault, splitter_busy;
  logic [39:0] run_address;
  logic [31:0] run_local;
  logic [27:0] run_beats;

  moesaic_transfer_loop u_loop (
      .clk_i,
      .rst_ni,
      .start_i      (start),
      .instr_i      (instr_i),
      .unpack_i     (instr.unpack),
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

  moesaic_burst_splitter #(
      .MaxBeats(MaxBeats)
  ) u_splitter (
      .clk_i,
      .rst_ni,
      .run_valid_i    (run_valid),
      .run_ready_o    (run_ready),
      .run_address_i  (run_address),
      .run_local_i    (unpack_q ? run_local >> 1 : run_local),
      .run_beats_i    (run_beats),
      .burst_valid_o  (burst_valid),
      .burst_ready_i  (burst_ready),
      .burst_address_o(burst_address),
      .burst_local_o  (burst_local),
      .burst_length_o (burst_length),
      .busy_o         (splitter_busy)
  );

  // Ports.
  logic drop, dispatch;
  logic [LoadPorts-1:0] port_ready, port_grant, outstanding, arrived, error, error_owner;
  logic [LoadPorts-1:0] word_valid, word_grant, word_owner, word_ends_burst;
  logic [LoadPorts-1:0][8*WeightWordBytes-1:0] word_data;
  logic [LoadPorts-1:0][Lanes-1:0] word_strobe;
  logic [LoadPorts-1:0][27:0] word_address;
  logic [LoadPorts-1:0][1:0] word_destination;
  logic word_take;

  assign drop        = halt_i || faulted_q;
  assign burst_ready = port_ready != '0 && !drop;
  assign dispatch    = burst_valid && burst_ready;

  moesaic_round_robin #(
      .Requests(LoadPorts)
  ) u_next_port (
      .clk_i,
      .rst_ni,
      .request_i(port_ready),
      .take_i   (dispatch),
      .grant_o  (port_grant)
  );

  for (genvar p = 0; p < LoadPorts; p++) begin : gen_port
    moesaic_load_port #(
        .TileColumns(TileColumns),
        .TileDepth  (TileDepth),
        .MaxBeats   (MaxBeats)
    ) u_port (
        .clk_i,
        .rst_ni,
        .burst_valid_i      (dispatch && port_grant[p]),
        .burst_ready_o      (port_ready[p]),
        .burst_address_i    (burst_address),
        .burst_local_i      (burst_local),
        .burst_length_i     (burst_length),
        .burst_destination_i(destination_q),
        .burst_unpack_i     (unpack_q),
        .burst_owner_i      (walked_q),
        .drop_i             (drop),
        .outstanding_o      (outstanding[p]),
        .arrived_o          (arrived[p]),
        .read_beat_o        (read_beats_o[p]),
        .error_o            (error[p]),
        .error_owner_o      (error_owner[p]),
        .word_valid_o       (word_valid[p]),
        .word_ready_i       (word_take && word_grant[p]),
        .word_data_o        (word_data[p]),
        .word_strobe_o      (word_strobe[p]),
        .word_address_o     (word_address[p]),
        .word_destination_o (word_destination[p]),
        .word_owner_o       (word_owner[p]),
        .word_ends_burst_o  (word_ends_burst[p]),
        .m_axi_o            (m_axi_o[p]),
        .m_axi_i            (m_axi_i[p])
    );
  end

  // Words of all ports, one per cycle.
  logic out_valid, out_owner, out_ends_burst, out_ready, out_free, leaves, act_written_q, ended_q, ended_owner_q, coming_q;
  logic [1:0] out_destination;
  logic [1:0] held_q;  // words on their way and in the two entries
  logic [27:0] out_address;
  logic [8*WeightWordBytes-1:0] out_data, chosen_data;
  logic [Lanes-1:0] out_strobe;
  logic [TagBits-1:0] chosen_tag, chosen_tag_q;

  moesaic_round_robin #(
      .Requests(LoadPorts)
  ) u_next_word (
      .clk_i,
      .rst_ni,
      .request_i(word_valid),
      .take_i   (word_take),
      .grant_o  (word_grant)
  );

  assign leaves    = out_valid && out_ready;
  assign word_take = word_valid != '0 && (held_q != 2'd2 || leaves);

  always_comb begin
    chosen_tag = '0;
    for (int p = 0; p < int'(LoadPorts); p++) begin
      if (word_grant[p]) begin
        chosen_tag = chosen_tag | {word_strobe[p], word_address[p], word_destination[p], word_owner[p], word_ends_burst[p]};
      end
    end
  end

  for (genvar l = 0; l < Lanes; l++) begin : gen_lane
    logic [LoadPorts-1:0] chosen;

    moesaic_replica #(
        .Width(LoadPorts)
    ) u_chosen (
        .clk_i,
        .data_i(word_grant),
        .data_o(chosen)
    );

    always_comb begin
      chosen_data[128*l+:128] = '0;
      for (int p = 0; p < int'(LoadPorts); p++) begin
        if (chosen[p]) chosen_data[128*l+:128] = chosen_data[128*l+:128] | word_data[p][128*l+:128];
      end
    end
  end

  moesaic_skid_buffer #(
      .Width(TagBits)
  ) u_out (
      .clk_i,
      .rst_ni,
      .valid_i(coming_q),
      .ready_o(out_free),
      .data_i (chosen_tag_q),
      .valid_o(out_valid),
      .ready_i(out_ready),
      .data_o ({out_strobe, out_address, out_destination, out_owner, out_ends_burst})
  );

  moesaic_payload_pair #(
      .Width(8 * WeightWordBytes)
  ) u_out_data (
      .clk_i,
      .rst_ni,
      .enters_i(coming_q),
      .leaves_i(leaves),
      .data_i  (chosen_data),
      .data_o  (out_data)
  );

  // The activation memory decides late in a cycle whom it serves, so a word for it leaves the register in the cycle after.
  assign act_wr_valid_o      = out_valid && 4'(out_destination) == moesaic_isa_pkg::LOAD_TO_ACT && !act_written_q && !drop;
  assign act_wr_address_o    = 32'(out_address);
  assign act_wr_data_o       = out_data[8*ActWordBytes-1:0];
  assign weight_wr_valid_o   = out_valid && 4'(out_destination) == moesaic_isa_pkg::LOAD_TO_WEIGHT && !drop;
  assign weight_wr_address_o = 32'(out_address);
  assign weight_wr_data_o    = out_data;
  assign table_wr_valid_o    = out_valid && 4'(out_destination) == moesaic_isa_pkg::LOAD_TO_TABLE && !drop;
  assign table_wr_address_o  = {out_address, 4'd0};
  assign table_wr_data_o     = out_data[127:0];

  always_comb begin
    for (int i = 0; i < int'(ActWordBytes / 16); i++) act_wr_strobe_o[16*i+:16] = {16{out_strobe[i]}};
    for (int i = 0; i < int'(Lanes); i++) weight_wr_strobe_o[16*i+:16] = {16{out_strobe[i]}};
    case (4'(out_destination))
      moesaic_isa_pkg::LOAD_TO_ACT:    out_ready = act_written_q || drop;
      moesaic_isa_pkg::LOAD_TO_WEIGHT: out_ready = weight_wr_ready_i;
      default:                 out_ready = table_wr_ready_i;
    endcase
  end

  // Completion, in order.
  logic done_q, finished;
  assign walking  = loop_busy || loop_fault || splitter_busy;
  assign oldest   = walked_q ^ loaded_q[1];
  assign finished = loaded_q != 2'd0 && bursts_q[oldest] == '0 && (loaded_q[1] || !walking) && !faulted_q;

  // A fault in a cycle in which done_o is high is judged as `issue` sees it: the one that is done still counts.
  logic fault_q, fault_owner_q, issue_oldest_q;
  logic [3:0] cause_q;
  logic old_error;
  assign old_error = (error & ~(error_owner ^ {LoadPorts{oldest}})) != '0;

  assign instr_ready_o = !walking && !loaded_q[1] && !faulted_q;
  assign done_o        = done_q;
  assign fault_o       = fault_q;
  assign fault_cause_o = cause_q;
  assign fault_older_o = fault_owner_q == issue_oldest_q;
  assign idle_o        = outstanding == '0;
  assign dram_stall_o  = outstanding != '0 && arrived == '0;

  always_ff @(posedge clk_i) begin
    done_q  <= finished;
    fault_q <= 1'b0;
    if (accept) begin
      walked_q      <= !walked_q;
      space_q       <= instr.space;
      destination_q <= instr.destination;
      unpack_q      <= instr.unpack;
    end
    loaded_q <= loaded_q + 2'(accept) - 2'(finished);
    for (int i = 0; i < 2; i++)
      bursts_q[i] <= bursts_q[i] + BurstBits'(dispatch && walked_q == 1'(i)) - BurstBits'(ended_q && ended_owner_q == 1'(i));
    act_written_q <= act_wr_valid_o && act_wr_ready_i;
    ended_q       <= out_valid && out_ready && !drop && out_ends_burst;
    ended_owner_q <= out_owner;
    coming_q     <= word_take;
    chosen_tag_q <= chosen_tag;
    held_q       <= held_q + 2'(word_take) - 2'(leaves);
    if (done_q) issue_oldest_q <= !issue_oldest_q;
    if (!faulted_q && !halt_i) begin
      if (error != '0) begin
        faulted_q     <= 1'b1;
        fault_q       <= 1'b1;
        cause_q       <= moesaic_isa_pkg::FAULT_AXI_READ;
        fault_owner_q <= old_error ? oldest : walked_q;
      end else if (loop_fault) begin
        faulted_q     <= 1'b1;
        fault_q       <= 1'b1;
        cause_q       <= moesaic_isa_pkg::FAULT_ADDRESS;
        fault_owner_q <= walked_q;
      end
    end
    if (!rst_ni) begin
      walked_q       <= 1'b1;
      loaded_q       <= '0;
      bursts_q       <= '0;
      coming_q       <= 1'b0;
      held_q         <= '0;
      act_written_q  <= 1'b0;
      ended_q        <= 1'b0;
      done_q         <= 1'b0;
      fault_q        <= 1'b0;
      faulted_q      <= 1'b0;
      issue_oldest_q <= 1'b0;
    end
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      in_flight_in_range: assert (loaded_q <= 2'd2);
      words_never_refused: assert (out_free || !coming_q);
      completes_only_what_is_in_flight: assert (loaded_q != '0 || !finished);
      bursts_never_wrap_down: assert (bursts_q[ended_owner_q] != '0 || !ended_q || (dispatch && walked_q == ended_owner_q));
      bursts_never_wrap_up: assert (bursts_q[walked_q] != '1 || !dispatch || (ended_q && walked_q == ended_owner_q));
    end
  end

  moesaic_handshake_rules #(
      .Width($bits({act_wr_address_o, act_wr_data_o, act_wr_strobe_o}))
  ) u_act_rules (
      .clk_i,
      .rst_ni   (rst_ni && !drop),
      .valid_i  (act_wr_valid_o),
      .ready_i  (act_wr_ready_i),
      .payload_i({act_wr_address_o, act_wr_data_o, act_wr_strobe_o})
  );

  moesaic_handshake_rules #(
      .Width($bits({weight_wr_address_o, weight_wr_data_o, weight_wr_strobe_o}))
  ) u_weight_rules (
      .clk_i,
      .rst_ni   (rst_ni && !drop),
      .valid_i  (weight_wr_valid_o),
      .ready_i  (weight_wr_ready_i),
      .payload_i({weight_wr_address_o, weight_wr_data_o, weight_wr_strobe_o})
  );

  moesaic_handshake_rules #(
      .Width($bits({table_wr_address_o, table_wr_data_o}))
  ) u_table_rules (
      .clk_i,
      .rst_ni   (rst_ni && !drop),
      .valid_i  (table_wr_valid_o),
      .ready_i  (table_wr_ready_i),
      .payload_i({table_wr_address_o, table_wr_data_o})
  );
`endif

endmodule
