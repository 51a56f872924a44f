// The vector unit: layer norm and softmax, which share its ports to the activation memory. One instruction at a time.
// Layer norm reads through the first port only.
module moesaic_vector #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned NormLanes   = 4,
    parameter int unsigned ActPorts    = 2,
    parameter int unsigned RowEntries  = 128
) (
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         instr_valid_i,
    output logic         instr_ready_o,
    input  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] instr_i,
    output logic         done_o,
    output logic         fault_o,
    output logic [3:0]   fault_cause_o,
    output logic         layer_norm_busy_o,
    output logic         softmax_busy_o,

    // an answer stays until the next one of its port
    output logic [ActPorts-1:0]                     act_rd_valid_o,
    input  logic [ActPorts-1:0]                     act_rd_ready_i,
    output logic [ActPorts-1:0][31:0]               act_rd_address_o,
    input  logic [ActPorts-1:0]                     act_rd_data_valid_i,
    input  logic [ActPorts-1:0][16*TileColumns-1:0] act_rd_data_i,
    input  logic [ActPorts-1:0]                     act_rd_fault_i,
    output logic                                    act_wr_valid_o,
    input  logic                                    act_wr_ready_i,
    output logic [31:0]                             act_wr_address_o,
    output logic [16*TileColumns-1:0]               act_wr_data_o,
    output logic [2*TileColumns-1:0]                act_wr_strobe_o,
    input  logic                                    act_wr_fault_i,

    output logic [$clog2(RowEntries)-1:0] max_rd_address_o,
    input  logic [15:0]                   max_rd_data_i,
    output logic                          scale_we_o,
    output logic [$clog2(RowEntries)-1:0] scale_wr_address_o,
    output logic [15:0]                   scale_wr_multiplier_o,
    output logic [5:0]                    scale_wr_shift_o
);

  localparam int unsigned WordBits = 16 * TileColumns;

  // 0 layer norm, 1 softmax
  logic [1:0] valid, ready, done, fault, busy, wr_valid;
  logic [1:0][3:0] cause;
  logic [1:0][31:0] wr_address;
  logic [1:0][WordBits-1:0] wr_data;
  logic [1:0][2*TileColumns-1:0] wr_strobe;
  logic norm_rd_valid;
  logic [31:0] norm_rd_address;
  logic [ActPorts-1:0] softmax_rd_valid;
  logic [ActPorts-1:0][31:0] softmax_rd_address;
  logic softmax_selected;

  assign softmax_selected = instr_i[7:0] == moesaic_isa_pkg::OPCODE_SOFTMAX;
  assign instr_ready_o    = &ready;
  assign valid            = {2{instr_valid_i && instr_ready_o}} & {softmax_selected, !softmax_selected};

  assign done_o            = |done;
  assign fault_o           = |fault;
  assign fault_cause_o     = fault[1] ? cause[1] : cause[0];
  assign layer_norm_busy_o = busy[0];
  assign softmax_busy_o    = busy[1];

  // Only one of them is busy; the other one asks for nothing, and looks at no answer.
  assign act_rd_valid_o   = softmax_rd_valid | ActPorts'(norm_rd_valid);
  always_comb begin
    act_rd_address_o = softmax_rd_address;
    if (norm_rd_valid) act_rd_address_o[0] = norm_rd_address;
  end
  assign act_wr_valid_o   = |wr_valid;
  assign act_wr_address_o = wr_valid[1] ? wr_address[1] : wr_address[0];
  assign act_wr_data_o    = wr_valid[1] ? wr_data[1] : wr_data[0];
  assign act_wr_strobe_o  = wr_valid[1] ? wr_strobe[1] : wr_strobe[0];

  moesaic_layer_norm #(
      .TileColumns(TileColumns),
      .NormLanes  (NormLanes)
  ) u_layer_norm (
      .clk_i,
      .rst_ni,
      .instr_valid_i      (valid[0]),
      .instr_ready_o      (ready[0]),
      .instr_i            (instr_i),
      .done_o             (done[0]),
      .fault_o            (fault[0]),
      .fault_cause_o      (cause[0]),
      .busy_o             (busy[0]),
      .act_rd_valid_o     (norm_rd_valid),
      .act_rd_ready_i     (act_rd_ready_i[0]),
      .act_rd_address_o   (norm_rd_address),
      .act_rd_data_valid_i(act_rd_data_valid_i[0]),
      .act_rd_data_i      (act_rd_data_i[0]),
      .act_rd_fault_i     (act_rd_fault_i[0]),
      .act_wr_valid_o     (wr_valid[0]),
      .act_wr_ready_i     (act_wr_ready_i),
      .act_wr_address_o   (wr_address[0]),
      .act_wr_data_o      (wr_data[0]),
      .act_wr_strobe_o    (wr_strobe[0]),
      .act_wr_fault_i     (act_wr_fault_i)
  );

  moesaic_softmax #(
      .TileColumns(TileColumns),
      .ActPorts   (ActPorts),
      .RowEntries (RowEntries)
  ) u_softmax (
      .clk_i,
      .rst_ni,
      .instr_valid_i      (valid[1]),
      .instr_ready_o      (ready[1]),
      .instr_i            (instr_i),
      .done_o             (done[1]),
      .fault_o            (fault[1]),
      .fault_cause_o      (cause[1]),
      .busy_o             (busy[1]),
      .act_rd_valid_o     (softmax_rd_valid),
      .act_rd_ready_i     (act_rd_ready_i),
      .act_rd_address_o   (softmax_rd_address),
      .act_rd_data_valid_i(act_rd_data_valid_i),
      .act_rd_data_i      (act_rd_data_i),
      .act_rd_fault_i     (act_rd_fault_i),
      .act_wr_valid_o     (wr_valid[1]),
      .act_wr_ready_i     (act_wr_ready_i),
      .act_wr_address_o   (wr_address[1]),
      .act_wr_data_o      (wr_data[1]),
      .act_wr_strobe_o    (wr_strobe[1]),
      .act_wr_fault_i     (act_wr_fault_i),
      .max_rd_address_o   (max_rd_address_o),
      .max_rd_data_i      (max_rd_data_i),
      .scale_we_o         (scale_we_o),
      .scale_wr_address_o (scale_wr_address_o),
      .scale_wr_multiplier_o(scale_wr_multiplier_o),
      .scale_wr_shift_o   (scale_wr_shift_o)
  );

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      own_opcodes_only: assert (softmax_selected || !instr_valid_i || instr_i[7:0] == moesaic_isa_pkg::OPCODE_LAYER_NORM);
      one_instruction_at_a_time: assert (busy != 2'b11);
      one_writer_at_a_time: assert (wr_valid != 2'b11);
    end
  end
`endif

endmodule
