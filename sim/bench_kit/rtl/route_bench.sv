// The route unit with an activation memory and expert queues of its own.
module route_bench #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned ActBytes    = 16384,
    parameter int unsigned ActBanks    = 4,
    parameter int unsigned ActUltraBytes = 4096,
    parameter int unsigned Experts     = 16,
    parameter int unsigned QueueTokens = 64
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  logic                      queue_rst_ni,
    input  logic                      instr_valid_i,
    output logic                      instr_ready_o,
    input  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0]              instr_i,
    output logic                      done_o,
    output logic                      fault_o,
    output logic [3:0]                fault_cause_o,
    output logic                      busy_o,

    input  logic [7:0]                rivals_i,
    input  logic                      fill_valid_i,
    input  logic [31:0]               fill_address_i,
    input  logic [16*TileColumns-1:0] fill_data_i,
    input  logic                      dump_valid_i,
    input  logic [31:0]               dump_address_i,
    output logic                      dump_data_valid_o,
    output logic [16*TileColumns-1:0] dump_data_o,

    input  logic [$clog2(Experts)-1:0]     rd_expert_i,
    input  logic [$clog2(QueueTokens)-1:0] rd_index_i,
    output logic [15:0]                    rd_token_o,
    output logic [15:0]                    rd_score_o,
    output logic [Experts-1:0][16:0]       count_o
);

  logic rd_valid, rd_ready, rd_data_valid, rd_fault, next_valid, clear, push_valid;
  logic [16:0] next_token, after_route;
  logic [31:0] rd_address;
  logic [16*TileColumns-1:0] rd_data;
  logic [$clog2(Experts)-1:0] push_expert;
  logic [15:0] push_token, push_score;

  moesaic_route #(
      .TileColumns(TileColumns),
      .Experts    (Experts)
  ) u_route (
      .clk_i,
      .rst_ni,
      .instr_valid_i,
      .instr_ready_o,
      .instr_i,
      .done_o,
      .fault_o,
      .fault_cause_o,
      .busy_o,
      .act_rd_valid_o     (rd_valid),
      .act_rd_ready_i     (rd_ready),
      .act_rd_address_o   (rd_address),
      .act_rd_data_valid_i(rd_data_valid),
      .act_rd_data_i      (rd_data),
      .act_rd_fault_i     (rd_fault),
      .queue_next_valid_o (next_valid),
      .queue_clear_o      (clear),
      .queue_next_token_o (after_route),
      .queue_next_token_i (next_token),
      .queue_push_valid_o (push_valid),
      .queue_push_expert_o(push_expert),
      .queue_push_token_o (push_token),
      .queue_push_score_o (push_score)
  );

  act_memory_bench #(
      .TileColumns(TileColumns),
      .ActBytes   (ActBytes),
      .ActBanks   (ActBanks),
      .ActUltraBytes(ActUltraBytes)
  ) u_act (
      .clk_i,
      .rst_ni,
      .rivals_i,
      .fill_valid_i,
      .fill_address_i,
      .fill_data_i,
      .dump_valid_i,
      .dump_address_i,
      .dump_data_valid_o,
      .dump_data_o,
      .rd_valid_i     (rd_valid),
      .rd_ready_o     (rd_ready),
      .rd_address_i   (rd_address),
      .rd_data_valid_o(rd_data_valid),
      .rd_data_o      (rd_data),
      .rd_fault_o     (rd_fault),
      .wr_valid_i     (1'b0),
      .wr_ready_o     (),
      .wr_address_i   ('0),
      .wr_data_i      ('0),
      .wr_strobe_i    ('0),
      .wr_fault_o     ()
  );

  moesaic_expert_queue #(
      .Experts    (Experts),
      .QueueTokens(QueueTokens)
  ) u_queue (
      .clk_i,
      .rst_ni       (queue_rst_ni),
      .next_valid_i (next_valid),
      .clear_i      (clear),
      .next_token_i (after_route),
      .next_token_o (next_token),
      .push_valid_i (push_valid),
      .push_expert_i(push_expert),
      .push_token_i (push_token),
      .push_score_i (push_score),
      .count_o,
      .rd_expert_i,
      .rd_index_i,
      .rd_token_o,
      .rd_score_o
  );

endmodule
