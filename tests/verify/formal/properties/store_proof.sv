// moesaic_store behind its burst splitter: an AXI4 manager that writes.
//
// The bursts are cut free (script of the task) and are what burst_splitter_proof shows of them; the activation memory answers in order,
// ACT_READ_CYCLES after each grant.
//
// Induction needs to know what lies in the buffers. Beats are numbered in the order in which they are asked for, bursts in the order in
// which they are noted, and first beat and length of the bursts whose data is not yet sent are kept here. Each beat on its way to the bus
// is marked as the last one exactly where one of these ends.
module store_proof #(
    parameter int unsigned MaxBeats = 16,
    parameter int unsigned DataBeats = 64,
    parameter int unsigned Bursts = 16
) (
    input logic                             clk_i,
    input logic                             rst_ni,
    input logic                             instr_valid_i,
    input logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] instr_i,
    input logic                             halt_i,
    input logic                             act_rd_ready_i,
    input logic [127:0]                     act_rd_data_i,
    input logic                             choose_i,
    input moesaic_axi_pkg::write_response_t response_i
);

  moesaic_axi_pkg::write_request_t request;
  logic instr_ready, done, fault, idle, stall, write_beat, act_rd_valid, halted_q, has_faulted_q, cut_waiting_q;
  logic [3:0] cause;
  logic [31:0] act_rd_address;
  logic [55:0] cut_q;
  logic [moesaic_memory_pkg::ACT_READ_CYCLES-1:0] answers_q;

  reset_assumed u_reset (.clk_i, .rst_ni);

  moesaic_store #(
      .TileColumns(8),
      .ActBytes   (4096),
      .MaxBeats   (MaxBeats),
      .DataBeats  (DataBeats),
      .Bursts     (Bursts)
  ) u_store (
      .clk_i,
      .rst_ni,
      .instr_valid_i,
      .instr_ready_o      (instr_ready),
      .instr_i,
      .done_o             (done),
      .fault_o            (fault),
      .fault_cause_o      (cause),
      .halt_i,
      .idle_o             (idle),
      .dram_stall_o       (stall),
      .write_beat_o       (write_beat),
      .frame_base_i       ('0),
      .frame_size_i       (32'h1000_0000),
      .act_rd_valid_o     (act_rd_valid),
      .act_rd_ready_i,
      .act_rd_address_o   (act_rd_address),
      .act_rd_data_valid_i(answers_q[moesaic_memory_pkg::ACT_READ_CYCLES-1]),
      .act_rd_data_i,
      .m_axi_o            (request),
      .m_axi_i            (response_i)
  );

  always_ff @(posedge clk_i) begin
    answers_q     <= {answers_q[moesaic_memory_pkg::ACT_READ_CYCLES-2:0], act_rd_valid && act_rd_ready_i};
    halted_q      <= rst_ni && halt_i;
    has_faulted_q <= rst_ni && (has_faulted_q || fault);
    cut_waiting_q <= rst_ni && u_store.cut_valid && !u_store.cut_ready;
    cut_q         <= {u_store.cut_address, u_store.cut_length, u_store.cut_local[7:0]};
    if (!rst_ni) answers_q <= '0;
  end

  always_comb begin
    cuts_stay_in_their_pages: assume (9'(u_store.cut_address[11:4]) + 9'(u_store.cut_length) <= 9'd255);
    cuts_are_of_whole_beats: assume (u_store.cut_address[3:0] == '0 && u_store.cut_local[3:0] == '0);
    cuts_are_short: assume (32'(u_store.cut_length) < MaxBeats);
    cuts_are_held: assume (!rst_ni || !cut_waiting_q
        || (u_store.cut_valid && cut_q == {u_store.cut_address, u_store.cut_length, u_store.cut_local[7:0]}));
    cuts_belong_to_an_instruction: assume (u_store.busy_q || !u_store.cut_valid);
    splitter_tells: assume (u_store.splitter_busy == u_store.cut_valid);
    no_cut_in_reset: assume (rst_ni || !u_store.cut_valid);
    halt_stays: assume (!rst_ni || !halted_q || halt_i);
  end

  axi_write_rules #(
      .MostBeats(MaxBeats),
      .MostOpen (Bursts)
  ) u_rules (
      .clk_i,
      .rst_ni,
      .request_i (request),
      .response_i,
      .halted_i  (halt_i || fault || has_faulted_q),
      .idle_i    (idle),
      .choose_i
  );

  // Beats: asked for, granted by the memory, answered, of bursts sent, taken from the buffer. Modulo a number that no two differ by.
  localparam int unsigned BeatBits = $clog2(2 * (DataBeats + MaxBeats));
  typedef logic [BeatBits-1:0] beat_t;
  beat_t asked_q, granted_q, answered_q, sent_q, popped_q, noted, sending;
  // Bursts: noted, sent, with their last beat out of the buffer, with their last beat on the bus, answered. Modulo 4 * Bursts.
  localparam int unsigned RingBits = $clog2(2 * Bursts);
  localparam int unsigned NumberBits = RingBits + 1;
  typedef logic [NumberBits-1:0] number_t;
  number_t bursts_noted_q, bursts_sent_q, bursts_popped_q, bursts_ended_q, bursts_answered_q, chosen_q;
  beat_t first_q[2*Bursts], length_q[2*Bursts];    // by the burst's number, modulo 2 * Bursts
  logic notes, grants;

  assign notes   = u_store.burst_valid && u_store.burst_ready;
  assign grants  = act_rd_valid && act_rd_ready_i;
  assign noted   = asked_q - beat_t'(u_store.beat_index_q);
  assign sending = popped_q - beat_t'(request.wvalid);    // number of the beat that is on the bus, or comes next

  number_t slot[2*Bursts];    // how many bursts lie before the one at that place
  logic [2*Bursts-1:0] noted_here;

  // Whether a noted burst ends with the beat of that number.
  function automatic logic is_last(input beat_t number);
    is_last = 1'b0;
    for (int i = 0; i < 2 * int'(Bursts); i++) if (noted_here[i] && first_q[i] + length_q[i] == number) is_last = 1'b1;
  endfunction

  function automatic logic [RingBits-1:0] place_of(input number_t number);
    return number[RingBits-1:0];
  endfunction

  always_ff @(posedge clk_i) begin
    asked_q    <= asked_q + beat_t'(u_store.requested);
    granted_q  <= granted_q + beat_t'(grants);
    answered_q <= answered_q + beat_t'(answers_q[moesaic_memory_pkg::ACT_READ_CYCLES-1]);
    sent_q     <= sent_q + (u_store.send ? beat_t'(u_store.burst_beats) : beat_t'(0));
    popped_q   <= popped_q + beat_t'(u_store.data_pop);
    bursts_noted_q    <= bursts_noted_q + number_t'(notes);
    bursts_sent_q     <= bursts_sent_q + number_t'(u_store.send);
    bursts_popped_q   <= bursts_popped_q + number_t'(u_store.data_pop && u_store.data_last);
    bursts_ended_q    <= bursts_ended_q + number_t'(u_rules.ends);
    bursts_answered_q <= bursts_answered_q + number_t'(u_rules.answers);
    if (notes) begin
      first_q[place_of(bursts_noted_q)]  <= noted;
      length_q[place_of(bursts_noted_q)] <= beat_t'(u_store.burst_length);
    end
    if (u_rules.opens && choose_i && !u_rules.was_chosen_q) chosen_q <= bursts_sent_q - number_t'(1);
    if (!rst_ni) begin
      asked_q           <= '0;
      granted_q         <= '0;
      answered_q        <= '0;
      sent_q            <= '0;
      popped_q          <= '0;
      bursts_noted_q    <= '0;
      bursts_sent_q     <= '0;
      bursts_popped_q   <= '0;
      bursts_ended_q    <= '0;
      bursts_answered_q <= '0;
    end
  end

  // How many of them lie between.
  beat_t beats_held, beats_in_request, beats_in_memory, beats_buffered, beats_to_send, beats_sending, beats_of_chosen;
  number_t bursts_to_send, bursts_sending, bursts_unanswered;
  logic [1:0] requests;
  logic [$clog2(DataBeats):0] data_entries;
  logic [$clog2(Bursts):0] note_entries;
  assign data_entries      = u_store.u_data.write_q - u_store.u_data.read_q;
  assign note_entries      = u_store.u_notes.write_q - u_store.u_notes.read_q;
  assign beats_held        = asked_q - popped_q;
  assign beats_in_request  = asked_q - granted_q;
  assign beats_in_memory   = granted_q - answered_q;
  assign beats_buffered    = answered_q - popped_q;
  assign beats_to_send     = answered_q - sent_q;
  assign beats_sending     = sent_q - popped_q;
  assign beats_of_chosen   = sending - first_q[place_of(chosen_q)];
  assign bursts_to_send    = bursts_noted_q - bursts_sent_q;
  assign bursts_sending    = bursts_sent_q - bursts_ended_q;
  assign bursts_unanswered = bursts_sent_q - bursts_answered_q;
  assign requests          = 2'(act_rd_valid) + 2'(u_store.u_request.u_buffer.spare_valid_q);

  logic [3:0] in_memory;
  always_comb begin
    in_memory = '0;
    for (int c = 0; c < int'(moesaic_memory_pkg::ACT_READ_CYCLES); c++) in_memory = in_memory + 4'(answers_q[c]);
  end

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      done_when_all_is_answered: assert (!done || (u_rules.addresses_q == '0 && u_rules.data_open_q == '0));

      faults_for_good: assert ((fault || has_faulted_q) == u_store.faulted_q);

      // Counts.
      held_in_range: assert (32'(beats_held) + 32'(u_store.credits_q) == DataBeats && 32'(beats_held) <= DataBeats);
      requests_count: assert (beats_in_request == beat_t'(requests));
      answers_count: assert (beats_in_memory == beat_t'(in_memory));
      data_counts: assert (beats_buffered == beat_t'(data_entries) && beats_buffered <= beats_held);
      data_flags_agree: assert (u_store.data_valid == (beats_buffered != '0)
          && u_store.data_ready == (beats_buffered != beat_t'(DataBeats)));
      buffered_agrees: assert (8'(u_store.buffered_q) == 8'(beats_to_send) && beats_to_send <= beats_buffered);
      sending_agrees: assert (8'(u_store.sending_q) == 8'(beats_sending) && beats_sending <= beats_buffered);
      index_in_its_burst: assert (u_store.beat_index_q == '0 || (u_store.burst_valid && u_store.beat_index_q <= u_store.burst_length));
      noted_beats_are_asked: assert (noted - sent_q <= asked_q - sent_q && asked_q - noted <= beats_held);
      notes_count: assert (bursts_to_send == number_t'(note_entries) && bursts_to_send <= number_t'(Bursts));
      notes_flags_agree: assert (u_store.note_valid == (bursts_to_send != '0)
          && u_store.note_ready == (bursts_to_send != number_t'(Bursts)));
      outstanding_agrees: assert (32'(u_store.outstanding_q) == 32'(bursts_unanswered) && bursts_unanswered <= number_t'(Bursts));
      ended_are_sent: assert (bursts_sending <= bursts_unanswered);
      popped_may_wait: assert (bursts_popped_q == bursts_ended_q + number_t'(request.wvalid && request.w.last));
      rules_count_data: assert (number_t'(u_rules.data_open_q) + number_t'(u_rules.opens) == bursts_sending
          && (!u_rules.opens || bursts_sending != '0));
      rules_count_addresses: assert (number_t'(u_rules.addresses_q) + number_t'(request.awvalid) == bursts_unanswered);
      rules_count_ends: assert (number_t'(u_rules.datas_q) == bursts_ended_q - bursts_answered_q);

      // Bursts and beats.
      first_to_send: assert (bursts_to_send == '0 ? sent_q == noted : sent_q == first_q[place_of(bursts_sent_q)]);
      nothing_to_send: assert (bursts_sending != '0 || sending == sent_q);
      sends_its_burst: assert (bursts_sending == '0
          || sending - first_q[place_of(bursts_ended_q)] <= length_q[place_of(bursts_ended_q)]);
      last_on_the_bus: assert (!request.wvalid || (bursts_sending != '0 && request.w.last
          == (sending - first_q[place_of(bursts_ended_q)] == length_q[place_of(bursts_ended_q)])));
      data_comes_after_its_address: assert (!u_rules.opens || (request.aw.len == length_q[place_of(bursts_sent_q - number_t'(1))]
          && 8'(beats_sending) > request.aw.len));
      chosen_is_followed: assert (!u_rules.chosen_q || (u_rules.was_chosen_q && number_t'(u_rules.ahead_q) == chosen_q - bursts_ended_q
          && chosen_q - bursts_ended_q < bursts_sending && u_rules.length_q == length_q[place_of(chosen_q)]
          && u_rules.beat_q == (u_rules.ahead_q == '0 ? 8'(beats_of_chosen) : 8'd0)));

      // Bursts on their way to being noted.
      bursts_are_short: assert (!u_store.burst_valid || (u_store.burst_length < 8'(MaxBeats)
          && u_store.burst_address[3:0] == '0 && 9'(u_store.burst_address[11:4]) + 9'(u_store.burst_length) <= 9'd255));
      addresses_are_short: assert (!request.awvalid || (request.aw.len < 8'(MaxBeats)
          && request.aw.addr[3:0] == '0 && 9'(request.aw.addr[11:4]) + 9'(request.aw.len) <= 9'd255));
      spare_burst_is_short: assert (!u_store.u_bursts.u_buffer.spare_valid_q || (u_store.burst_valid
          && u_store.u_bursts.u_buffer.spare_ports_q && u_store.u_bursts.u_buffer.spare_q[7:0] < 8'(MaxBeats)
          && u_store.u_bursts.u_buffer.spare_q[43:40] == '0
          && 9'(u_store.u_bursts.u_buffer.spare_q[51:44]) + 9'(u_store.u_bursts.u_buffer.spare_q[7:0]) <= 9'd255));
      spare_request_is_behind: assert (!u_store.u_request.u_buffer.spare_valid_q
          || (act_rd_valid && u_store.u_request.u_buffer.spare_ports_q));
    end
  end

  // Marks of the beats in front of the memory, in it and behind it.
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      request_is_marked: assert (!act_rd_valid || u_store.u_request.u_buffer.data_q[0] == is_last(granted_q));
      spare_request_is_marked: assert (!u_store.u_request.u_buffer.spare_valid_q
          || u_store.u_request.u_buffer.spare_q[0] == is_last(granted_q + beat_t'(1)));
    end
  end

  for (genvar c = 0; c < moesaic_memory_pkg::ACT_READ_CYCLES; c++) begin : gen_answer
    beat_t number;
    always_comb begin
      number = answered_q;
      for (int older = c + 1; older < int'(moesaic_memory_pkg::ACT_READ_CYCLES); older++) number = number + beat_t'(answers_q[older]);
    end
    always_ff @(posedge clk_i) begin
      if (rst_ni) answer_is_marked: assert (!answers_q[c] || u_store.last_late_q[c] == is_last(number));
    end
  end

  for (genvar d = 0; d < DataBeats; d++) begin : gen_data
    logic [$clog2(DataBeats)-1:0] behind;
    assign behind = $clog2(DataBeats)'(d) - u_store.u_data.read_q[$clog2(DataBeats)-1:0];
    always_ff @(posedge clk_i) begin
      if (rst_ni) begin
        data_is_marked: assert (!(beat_t'(behind) < beats_buffered)
            || u_store.u_data.gen_slice[0].memory[d][128] == is_last(popped_q + beat_t'(behind)));
      end
    end
  end

  // The bursts from the one that is being sent to the one noted last follow one another.
  for (genvar i = 0; i < 2 * Bursts; i++) begin : gen_slot
    logic [RingBits-1:0] place;
    logic [$clog2(Bursts)-1:0] note;
    assign place   = RingBits'(i) - place_of(bursts_ended_q);
    assign slot[i] = {1'b0, place};
    assign noted_here[i] = slot[i] < bursts_noted_q - bursts_ended_q;
    assign note = u_store.u_notes.read_q[$clog2(Bursts)-1:0] + $clog2(Bursts)'(slot[i] - bursts_sending);

    always_ff @(posedge clk_i) begin
      if (rst_ni && noted_here[i]) begin
        is_short: assert (length_q[i] < beat_t'(MaxBeats));
        ends_before_what_is_noted: assert (noted - first_q[i] > length_q[i] && noted - first_q[i] <= beat_t'(DataBeats + MaxBeats));
        next_follows: assert (first_q[i] + length_q[i] + beat_t'(1) == (slot[i] + number_t'(1) == bursts_noted_q - bursts_ended_q
            ? noted : first_q[(i+1)%(2*Bursts)]));
        note_has_its_length: assert (slot[i] < bursts_sending || u_store.u_notes.gen_slice[0].memory[note][7:0] == length_q[i]);
        note_is_in_its_page: assert (slot[i] < bursts_sending || (u_store.u_notes.gen_slice[0].memory[note][11:8] == '0
            && 9'(u_store.u_notes.gen_slice[0].memory[note][19:12]) + 9'(length_q[i]) <= 9'd255));
      end
    end

    for (genvar j = 0; j < 2 * Bursts; j++) begin : gen_behind
      always_ff @(posedge clk_i) begin
        if (rst_ni && noted_here[i] && noted_here[j] && slot[i] < slot[j]) begin
          lies_before: assert (first_q[j] - first_q[i] > length_q[i] && first_q[j] - first_q[i] <= beat_t'(DataBeats + MaxBeats));
        end
      end
    end
  end

endmodule
