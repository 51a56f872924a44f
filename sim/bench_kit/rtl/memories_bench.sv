// The activation and the weight memory, joined by the part that they share, with all their ports.
module memories_bench #(
    parameter int unsigned TileColumns   = 8,
    parameter int unsigned TileDepth     = 4,
    parameter int unsigned ActBytes      = 131072,
    parameter int unsigned ActBanks      = 4,
    parameter int unsigned ActUltraBytes = 32768,
    parameter int unsigned SharedBytes   = 32768,
    parameter int unsigned WeightBytes   = 131072,
    parameter bit          WeightUltra   = 1'b1,
    parameter int unsigned NumReads      = 8,
    parameter int unsigned NumWrites     = 4
) (
    input  logic                                          clk_i,
    input  logic                                          rst_ni,
    input  logic [NumReads-1:0]                           act_rd_valid_i,
    output logic [NumReads-1:0]                           act_rd_ready_o,
    input  logic [NumReads-1:0][31:0]                     act_rd_address_i,
    output logic [NumReads-1:0]                           act_rd_data_valid_o,
    output logic [NumReads-1:0][16*TileColumns-1:0]       act_rd_data_o,
    output logic [NumReads-1:0]                           act_rd_fault_o,
    input  logic [NumWrites-1:0]                          act_wr_valid_i,
    output logic [NumWrites-1:0]                          act_wr_ready_o,
    input  logic [NumWrites-1:0][31:0]                    act_wr_address_i,
    input  logic [NumWrites-1:0][16*TileColumns-1:0]      act_wr_data_i,
    input  logic [NumWrites-1:0][2*TileColumns-1:0]       act_wr_strobe_i,
    output logic [NumWrites-1:0]                          act_wr_fault_o,
    input  logic                                          weight_rd_valid_i,
    input  logic [31:0]                                   weight_rd_address_i,
    output logic                                          weight_rd_data_valid_o,
    output logic [8*TileColumns*TileDepth-1:0]            weight_rd_data_o,
    output logic                                          weight_rd_fault_o,
    input  logic [1:0]                                    weight_wr_valid_i,
    output logic [1:0]                                    weight_wr_ready_o,
    input  logic [1:0][31:0]                              weight_wr_address_i,
    input  logic [1:0][8*TileColumns*TileDepth-1:0]       weight_wr_data_i,
    input  logic [1:0][TileColumns*TileDepth-1:0]         weight_wr_strobe_i,
    output logic [1:0]                                    weight_wr_fault_o
);

  logic shared_rd_valid, shared_wr_valid;
  logic [31:0] shared_rd_address, shared_wr_address;
  logic [8*TileColumns*TileDepth-1:0] shared_rd_data, shared_wr_data;
  logic [TileColumns*TileDepth-1:0] shared_wr_strobe;

  moesaic_act_memory #(
      .TileColumns  (TileColumns),
      .ActBytes     (ActBytes),
      .ActBanks     (ActBanks),
      .ActUltraBytes(ActUltraBytes),
      .SharedBytes  (SharedBytes),
      .WideWords    (TileDepth / 2),
      .NumReads     (NumReads),
      .NumWrites    (NumWrites)
  ) u_act_memory (
      .clk_i,
      .rst_ni,
      .rd_valid_i       (act_rd_valid_i),
      .rd_ready_o       (act_rd_ready_o),
      .rd_address_i     (act_rd_address_i),
      .rd_data_valid_o  (act_rd_data_valid_o),
      .rd_data_o        (act_rd_data_o),
      .rd_fault_o       (act_rd_fault_o),
      .wr_valid_i       (act_wr_valid_i),
      .wr_ready_o       (act_wr_ready_o),
      .wr_address_i     (act_wr_address_i),
      .wr_data_i        (act_wr_data_i),
      .wr_strobe_i      (act_wr_strobe_i),
      .wr_fault_o       (act_wr_fault_o),
      .wide_rd_valid_i  (shared_rd_valid),
      .wide_rd_address_i(shared_rd_address),
      .wide_rd_data_o   (shared_rd_data),
      .wide_wr_valid_i  (shared_wr_valid),
      .wide_wr_address_i(shared_wr_address),
      .wide_wr_data_i   (shared_wr_data),
      .wide_wr_strobe_i (shared_wr_strobe)
  );

  moesaic_weight_memory #(
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth),
      .WeightBytes(WeightBytes),
      .SharedBytes(SharedBytes),
      .Ultra      (WeightUltra)
  ) u_weight_memory (
      .clk_i,
      .rst_ni,
      .rd_valid_i         (weight_rd_valid_i),
      .rd_address_i       (weight_rd_address_i),
      .rd_data_valid_o    (weight_rd_data_valid_o),
      .rd_data_o          (weight_rd_data_o),
      .rd_fault_o         (weight_rd_fault_o),
      .wr_valid_i         (weight_wr_valid_i),
      .wr_ready_o         (weight_wr_ready_o),
      .wr_address_i       (weight_wr_address_i),
      .wr_data_i          (weight_wr_data_i),
      .wr_strobe_i        (weight_wr_strobe_i),
      .wr_fault_o         (weight_wr_fault_o),
      .shared_rd_valid_o  (shared_rd_valid),
      .shared_rd_address_o(shared_rd_address),
      .shared_rd_data_i   (shared_rd_data),
      .shared_wr_valid_o  (shared_wr_valid),
      .shared_wr_address_o(shared_wr_address),
      .shared_wr_data_o   (shared_wr_data),
      .shared_wr_strobe_o (shared_wr_strobe)
  );

endmodule
