// moesaic_store behind its burst splitter: an AXI4 manager that writes.
//
// The bursts are cut free (script of the task) and are what burst_splitter_proof shows of them; the activation memory answers in order,
// ACT_READ_CYCLES after each grant.
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
  logic instr_ready, done, fault, idle, stall, write_beat, act_rd_valid, halted_q, cut_waiting_q;
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
      .halted_i  (halt_i || fault),
      .idle_i    (idle),
      .choose_i
  );

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      done_when_all_is_answered: assert (!done || (u_rules.addresses_q == '0 && u_rules.data_open_q == '0));
    end
  end

endmodule
