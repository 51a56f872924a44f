// The vector unit with an activation memory and row statistics of its own.
module vector_bench #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned NormLanes   = 4,
    parameter int unsigned ActPorts    = 2,
    parameter int unsigned ActBytes    = 32768,
    parameter int unsigned ActBanks    = 4,
    parameter int unsigned ActUltraBytes = 8192,
    parameter int unsigned RowEntries  = 128
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  logic                      instr_valid_i,
    output logic                      instr_ready_o,
    input  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0]              instr_i,
    output logic                      done_o,
    output logic                      fault_o,
    output logic [3:0]                fault_cause_o,
    output logic                      layer_norm_busy_o,
    output logic                      softmax_busy_o,

    input  logic [7:0]                rivals_i,
    input  logic                      fill_valid_i,
    input  logic [31:0]               fill_address_i,
    input  logic [16*TileColumns-1:0] fill_data_i,
    input  logic                      dump_valid_i,
    input  logic [31:0]               dump_address_i,
    output logic                      dump_data_valid_o,
    output logic [16*TileColumns-1:0] dump_data_o,

    // writes both memories of the row statistics, and reads the scales
    input  logic                          row_we_i,
    input  logic [$clog2(RowEntries)-1:0] row_address_i,
    input  logic [15:0]                   row_maximum_i,
    input  logic [15:0]                   row_multiplier_i,
    input  logic [5:0]                    row_shift_i,
    output logic [15:0]                   row_multiplier_o,
    output logic [5:0]                    row_shift_o
);

  logic [ActPorts-1:0] rd_valid, rd_ready, rd_data_valid, rd_fault;
  logic [ActPorts-1:0][31:0] rd_address;
  logic [ActPorts-1:0][16*TileColumns-1:0] rd_data;
  logic wr_valid, wr_ready, wr_fault;
  logic [31:0] wr_address;
  logic [16*TileColumns-1:0] wr_data;
  logic [2*TileColumns-1:0] wr_strobe;
  logic [$clog2(RowEntries)-1:0] max_address, scale_address;
  logic [15:0] max_data, multiplier;
  logic [5:0] shift;
  logic scale_we;

  // The bench writes and reads the entry on the port that may address it.
  logic [ActPorts-1:0] row_we;
  logic [ActPorts-1:0][15:0] row_multiplier;
  logic [ActPorts-1:0][5:0] row_shift;
  logic [moesaic_memory_pkg::SCALE_READ_CYCLES-1:0][$clog2(RowEntries)-1:0] row_q;
  assign row_we = row_we_i ? ActPorts'(1 << (32'(row_address_i) % ActPorts)) : '0;
  always_ff @(posedge clk_i) row_q <= {row_q[moesaic_memory_pkg::SCALE_READ_CYCLES-2:0], row_address_i};
  assign row_multiplier_o = row_multiplier[32'(row_q[moesaic_memory_pkg::SCALE_READ_CYCLES-1])%ActPorts];
  assign row_shift_o      = row_shift[32'(row_q[moesaic_memory_pkg::SCALE_READ_CYCLES-1])%ActPorts];

  moesaic_vector #(
      .TileColumns(TileColumns),
      .NormLanes  (NormLanes),
      .ActPorts   (ActPorts),
      .RowEntries (RowEntries)
  ) u_vector (
      .clk_i,
      .rst_ni,
      .instr_valid_i,
      .instr_ready_o,
      .instr_i,
      .done_o,
      .fault_o,
      .fault_cause_o,
      .layer_norm_busy_o,
      .softmax_busy_o,
      .act_rd_valid_o       (rd_valid),
      .act_rd_ready_i       (rd_ready),
      .act_rd_address_o     (rd_address),
      .act_rd_data_valid_i  (rd_data_valid),
      .act_rd_data_i        (rd_data),
      .act_rd_fault_i       (rd_fault),
      .act_wr_valid_o       (wr_valid),
      .act_wr_ready_i       (wr_ready),
      .act_wr_address_o     (wr_address),
      .act_wr_data_o        (wr_data),
      .act_wr_strobe_o      (wr_strobe),
      .act_wr_fault_i       (wr_fault),
      .max_rd_address_o     (max_address),
      .max_rd_data_i        (max_data),
      .scale_we_o           (scale_we),
      .scale_wr_address_o   (scale_address),
      .scale_wr_multiplier_o(multiplier),
      .scale_wr_shift_o     (shift)
  );

  act_memory_bench #(
      .TileColumns(TileColumns),
      .ActBytes   (ActBytes),
      .ActBanks   (ActBanks),
      .ActUltraBytes(ActUltraBytes),
      .Reads      (ActPorts)
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
      .wr_valid_i     (wr_valid),
      .wr_ready_o     (wr_ready),
      .wr_address_i   (wr_address),
      .wr_data_i      (wr_data),
      .wr_strobe_i    (wr_strobe),
      .wr_fault_o     (wr_fault)
  );

  moesaic_row_statistics #(
      .RowEntries(RowEntries),
      .ActPorts  (ActPorts)
  ) u_rows (
      .clk_i,
      .max_we_i             (row_we),
      .max_wr_address_i     ({ActPorts{row_address_i}}),
      .max_wr_data_i        ({ActPorts{row_maximum_i}}),
      .max_rd_address_i     (max_address),
      .max_rd_data_o        (max_data),
      .scale_we_i           (row_we_i || scale_we),
      .scale_wr_address_i   (row_we_i ? row_address_i : scale_address),
      .scale_wr_multiplier_i(row_we_i ? row_multiplier_i : multiplier),
      .scale_wr_shift_i     (row_we_i ? row_shift_i : shift),
      .scale_rd_address_i   ({ActPorts{row_address_i}}),
      .scale_rd_multiplier_o(row_multiplier),
      .scale_rd_shift_o     (row_shift)
  );

endmodule
