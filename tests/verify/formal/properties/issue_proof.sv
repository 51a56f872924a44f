// moesaic_issue: instructions start in the order of their dispatch, unchanged, each once and only with its semaphores there; at most two
// execute, the second only with `overlap`; each that is completed signals its own mask, in order.
//
// Of an instruction a few bits are followed, one of each part that goes a way of its own: all bits of a part go the same way.
module issue_proof #(
    parameter int unsigned InstructionQueue = 4,
    localparam int unsigned Bits = 8 * moesaic_isa_pkg::INSTRUCTION_BYTES,
    localparam int unsigned Followed = 6,
    localparam int unsigned AddressBits = $clog2(InstructionQueue),
    localparam int unsigned Most = InstructionQueue + 2
) (
    input logic            clk_i,
    input logic            rst_ni,
    input logic            dispatch_valid_i,
    input logic [Bits-1:0] dispatch_instr_i,
    input logic            semaphores_ready_i,
    input logic            instr_ready_i,
    input logic            done_i,
    input logic            fault_older_i,
    input logic [1:0]      choose_i
);

  localparam int unsigned Masks = moesaic_isa_pkg::SEMAPHORES;

  logic dispatch_ready, take, signals, instr_valid, busy, empty, stall, chosen, executing;
  logic [Masks-1:0] wait_mask, signal_mask;
  logic executing_mask;
  logic [Bits-1:0] instr;
  logic [Followed-1:0] value;
  logic [31:0] tag, executing_tag;
  logic [$clog2(Most+1)-1:0] count, ahead;
  logic [1:0] count_2, ahead_2;
  moesaic_isa_pkg::header_t header;

  function automatic logic [3:0] header_of(input logic [Bits-1:0] instruction);
    moesaic_isa_pkg::header_t fields;
    fields = instruction;
    return {fields.overlap, fields.wait_mask[0], fields.signal_mask[0], fields.tag[0]};
  endfunction

  function automatic logic [Followed-1:0] followed(input logic [Bits-1:0] instruction);
    return {instruction[511], instruction[255], header_of(instruction)};
  endfunction

  reset_assumed u_reset (.clk_i, .rst_ni);

  moesaic_issue #(
      .InstructionQueue(InstructionQueue)
  ) u_issue (
      .clk_i,
      .rst_ni,
      .dispatch_valid_i,
      .dispatch_ready_o   (dispatch_ready),
      .dispatch_instr_i,
      .wait_mask_o        (wait_mask),
      .semaphores_ready_i,
      .take_o             (take),
      .signal_o           (signals),
      .signal_mask_o      (signal_mask),
      .instr_valid_o      (instr_valid),
      .instr_ready_i,
      .instr_o            (instr),
      .done_i,
      .fault_older_i,
      .tag_o              (tag),
      .busy_o             (busy),
      .empty_o            (empty),
      .semaphore_stall_o  (stall)
  );

  // The other sides: fetch keeps what it offers, and semaphores once there stay until they are taken (semaphores_proof).
  logic offered_q, startable_q;
  logic [Followed-1:0] offer_q;
  always @(posedge clk_i) begin
    offered_q   <= rst_ni && dispatch_valid_i && !dispatch_ready;
    offer_q     <= followed(dispatch_instr_i);
    startable_q <= rst_ni && instr_valid && !instr_ready_i;
  end
  always_comb begin
    completes_what_executes: assume (!done_i || count_2 != '0);
    offer_is_held: assume (!rst_ni || !offered_q || (dispatch_valid_i && followed(dispatch_instr_i) == offer_q));
    semaphores_stay: assume (!rst_ni || !startable_q || semaphores_ready_i);
  end

  // From dispatch to start.
  stream_order #(
      .Width(Followed),
      .Most (Most)
  ) u_waiting (
      .clk_i,
      .rst_ni,
      .choose_i (choose_i[0]),
      .enter_i  (dispatch_valid_i && dispatch_ready),
      .entered_i(followed(dispatch_instr_i)),
      .leave_i  (take),
      .left_i   (followed(instr)),
      .inside_o (count),
      .chosen_o (chosen),
      .ahead_o  (ahead),
      .value_o  (value)
  );

  // From start to completion.
  assign header = instr;
  stream_order #(
      .Width(1),
      .Most (2)
  ) u_executing (
      .clk_i,
      .rst_ni,
      .choose_i (choose_i[1]),
      .enter_i  (take),
      .entered_i(header.signal_mask[0]),
      .leave_i  (done_i),
      .left_i   (signal_mask[0]),
      .inside_o (count_2),
      .chosen_o (executing),
      .ahead_o  (ahead_2),
      .value_o  (executing_mask)
  );

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      starts_with_its_semaphores: assert (!take || semaphores_ready_i);
      waits_for_what_it_starts_with: assert (!take || wait_mask[0] == header.wait_mask[0]);
      second_only_with_overlap: assert (!(take && count_2 - 2'(done_i) != '0) || header.overlap);
      signals_when_done: assert (signals == done_i);
      empty_when_nothing_is_inside: assert (empty == (count == '0 && count_2 == '0));
      busy_while_executing: assert (busy == (count_2 != '0));
      two_execute: cover (count_2 == 2'd2);
      starts_as_another_is_done: cover (take && done_i && count_2 == 2'd1 && !header.overlap);
      // What induction needs.
      executing_registers_count: assert (count_2 == 2'(u_issue.older_valid_q) + 2'(u_issue.younger_valid_q)
          && (!u_issue.younger_valid_q || u_issue.older_valid_q));
      executing_mask_lies: assert (!executing
          || (ahead_2 == '0 ? u_issue.older_mask_q[0] : u_issue.younger_mask_q[0]) == executing_mask);
    end
  end

  // Where the instructions lie: in the head, two at most with their headers beside, and before that in the queue.
  logic [1:0] head_count;
  logic [AddressBits:0] queue_count;
  logic [AddressBits-1:0] place;
  logic spare, second;
  logic [Followed-1:0] head_value;
  assign spare       = u_issue.u_header.u_buffer.spare_valid_q;
  assign head_count  = 2'(u_issue.head_valid) + 2'(spare);
  assign queue_count = u_issue.u_queue.write_q - u_issue.u_queue.read_q;
  assign place       = AddressBits'(u_issue.u_queue.read_q) + AddressBits'(ahead) - AddressBits'(head_count);
  assign second      = u_issue.u_head.read_q ^ ahead[0];
  assign head_value = second ? followed({u_issue.u_head.gen_slice[1].data_1_q, u_issue.u_head.gen_slice[0].data_1_q})
      : followed({u_issue.u_head.gen_slice[1].data_0_q, u_issue.u_head.gen_slice[0].data_0_q});

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      places_count: assert (32'(count) == 32'(head_count) + 32'(queue_count));
      spare_is_behind: assert (!spare || (u_issue.head_valid && u_issue.u_header.u_buffer.spare_ports_q));
      queue_valid_agrees: assert (u_issue.queue_valid == (queue_count != '0));
      queue_ready_agrees: assert (dispatch_ready == (queue_count != (AddressBits + 1)'(InstructionQueue)));
      queue_in_range: assert (queue_count <= (AddressBits + 1)'(InstructionQueue));
      head_agrees: assert (u_issue.u_head.entries_q == head_count
          && (u_issue.u_head.write_q ^ u_issue.u_head.read_q) == head_count[0]);
      chosen_lies_in_the_head: assert (!chosen || 32'(ahead) >= 32'(head_count) || head_value == value);
      header_is_of_the_head: assert (!u_issue.head_valid
          || header_of(Bits'(u_issue.head_header)) == header_of(instr));
      spare_header_is_of_the_head: assert (!spare || header_of(Bits'(u_issue.u_header.u_buffer.spare_q)) == header_of(Bits'(
          u_issue.u_head.read_q ? u_issue.u_head.gen_slice[0].data_0_q : u_issue.u_head.gen_slice[0].data_1_q)));
    end
  end

  logic [1:0] queued;
  logic [Followed-1:0] entry;
  assign entry = followed({u_issue.u_queue.gen_slice[1].memory[place], u_issue.u_queue.gen_slice[0].memory[place]});
  assign queued = {2{entry == value}};

  for (genvar s = 0; s < 2; s++) begin : gen_slice
    always_ff @(posedge clk_i) begin
      if (rst_ni) begin
        queue_copies_agree: assert (u_issue.u_queue.gen_slice[s].place == AddressBits'(u_issue.u_queue.read_q));
        head_copies_agree: assert (u_issue.u_head.gen_slice[s].load_0 == (head_count != 2'd2 && !u_issue.u_head.write_q)
            && u_issue.u_head.gen_slice[s].load_1 == (head_count != 2'd2 && u_issue.u_head.write_q)
            && u_issue.u_head.gen_slice[s].second == u_issue.u_head.read_q);
        chosen_lies_in_the_queue: assert (!chosen || 32'(ahead) < 32'(head_count)
            || queued[s]);
      end
    end
  end

endmodule
