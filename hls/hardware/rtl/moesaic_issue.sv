// The instruction queue of one unit: keeps instructions in order, hands the oldest to the unit once its semaphores are
// there (taking them in the same cycle) and signals when the unit has completed it.
//
// The unit holds one instruction, or two if `overlap` of the second allows it; whether it takes a second is up to the unit
// (instr_ready_i). It completes them in order.
module moesaic_issue #(
    parameter int unsigned InstructionQueue = 8
) (
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         dispatch_valid_i,
    output logic         dispatch_ready_o,
    input  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] dispatch_instr_i,

    output logic [moesaic_isa_pkg::SEMAPHORES-1:0] wait_mask_o,
    input  logic                           semaphores_ready_i,
    output logic                           take_o,
    output logic                           signal_o,
    output logic [moesaic_isa_pkg::SEMAPHORES-1:0] signal_mask_o,

    output logic         instr_valid_o,
    input  logic         instr_ready_i,
    output logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] instr_o,
    input  logic         done_i,             // of the older one
    input  logic         fault_older_i,      // a fault in this cycle is the older one's, if there are two

    output logic [31:0]  tag_o,              // of the instruction that fault_older_i points to
    output logic         busy_o,             // the unit is executing
    output logic         empty_o,            // nothing waits and nothing executes
    output logic         semaphore_stall_o
);

  logic queue_valid, queue_ready;
  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] queue_data;
  moesaic_fifo #(
      .Width($bits(queue_data)),
      .Depth(InstructionQueue)
  ) u_queue (
      .clk_i,
      .rst_ni,
      .valid_i(dispatch_valid_i),
      .ready_o(dispatch_ready_o),
      .data_i (dispatch_instr_i),
      .valid_o(queue_valid),
      .ready_i(queue_ready),
      .data_o (queue_data)
  );

  // In execution: the older, and with it perhaps the younger. Signals and tags of both are kept here.
  logic head_valid, older_valid_q, younger_valid_q;
  logic [31:0] older_tag_q, younger_tag_q;
  logic [moesaic_isa_pkg::SEMAPHORES-1:0] older_mask_q, younger_mask_q;

  // The head of the queue. What takes it comes late in a cycle, and moves its header and a few bits beside.
  localparam int unsigned HeaderBits = 128;
  moesaic_isa_pkg::header_t head;
  logic [HeaderBits-1:0] head_header;

  moesaic_skid_buffer #(
      .Width(HeaderBits)
  ) u_header (
      .clk_i,
      .rst_ni,
      .valid_i(queue_valid),
      .ready_o(queue_ready),
      .data_i (queue_data[HeaderBits-1:0]),
      .valid_o(head_valid),
      .ready_i(take_o),
      .data_o (head_header)
  );

  moesaic_payload_pair #(
      .Width($bits(instr_o))
  ) u_head (
      .clk_i,
      .rst_ni,
      .enters_i(queue_valid && queue_ready),
      .leaves_i(take_o),
      .data_i  (queue_data),
      .data_o  (instr_o)
  );

  assign head = ($bits(instr_o))'(head_header);

  // An instruction that takes its semaphores in the cycle in which its predecessor completes saves a cycle, but the
  // predecessor's own signals are counted only after that cycle.
  logic none_stays, one_stays, free;
  assign none_stays        = !older_valid_q || (done_i && !younger_valid_q);
  assign one_stays         = older_valid_q && (younger_valid_q == done_i);
  assign free              = none_stays || (one_stays && head.overlap);
  assign wait_mask_o       = head.wait_mask;
  assign instr_valid_o     = head_valid && free && semaphores_ready_i;
  assign take_o            = instr_valid_o && instr_ready_i;
  assign signal_o          = done_i;
  assign signal_mask_o     = older_mask_q;
  assign tag_o             = fault_older_i || !younger_valid_q ? older_tag_q : younger_tag_q;
  assign busy_o            = older_valid_q;
  assign empty_o           = !older_valid_q && !head_valid && !queue_valid;
  assign semaphore_stall_o = head_valid && !older_valid_q && !semaphores_ready_i;

  always_ff @(posedge clk_i) begin
    if (done_i) begin
      older_valid_q   <= younger_valid_q;
      older_tag_q     <= younger_tag_q;
      older_mask_q    <= younger_mask_q;
      younger_valid_q <= 1'b0;
    end
    if (take_o && none_stays) begin
      older_valid_q <= 1'b1;
      older_tag_q   <= head.tag;
      older_mask_q  <= head.signal_mask;
    end
    if (take_o && one_stays) begin
      younger_valid_q <= 1'b1;
      younger_tag_q   <= head.tag;
      younger_mask_q  <= head.signal_mask;
    end
    if (!rst_ni) begin
      older_valid_q   <= 1'b0;
      younger_valid_q <= 1'b0;
      older_tag_q     <= '0;
      older_mask_q    <= '0;
    end
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      younger_only_behind_an_older: assert (older_valid_q || !younger_valid_q);
      completes_only_what_it_executes: assert (older_valid_q || !done_i);
      never_more_than_two: assert (free || !take_o);
    end
  end

  moesaic_handshake_rules #(
      .Width($bits(dispatch_instr_i))
  ) u_dispatch_rules (
      .clk_i,
      .rst_ni,
      .valid_i  (dispatch_valid_i),
      .ready_i  (dispatch_ready_o),
      .payload_i(dispatch_instr_i)
  );

  moesaic_handshake_rules #(
      .Width($bits(instr_o))
  ) u_instr_rules (
      .clk_i,
      .rst_ni,
      .valid_i  (instr_valid_o),
      .ready_i  (instr_ready_i),
      .payload_i(instr_o)
  );
`endif

endmodule
