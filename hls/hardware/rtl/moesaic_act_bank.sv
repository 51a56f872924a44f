// One bank of the activation memory: a simple dual-port block RAM with byte write enables, read two cycles later: the second
// register is the block RAM's own output register (UG901). Not reset, nor is the memory: nobody looks at what was not read.
module moesaic_act_bank #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned Words = 2048
) (
    input  logic                               clk_i,
    input  logic                               rd_enable_i,
    input  logic [(Words > 1 ? $clog2(Words) : 1) - 1 : 0] rd_address_i,
    output logic [16 * TileColumns - 1 : 0]    rd_data_o,
    input  logic                               wr_enable_i,
    input  logic [(Words > 1 ? $clog2(Words) : 1) - 1 : 0] wr_address_i,
    input  logic [16 * TileColumns - 1 : 0]    wr_data_i,
    input  logic [2 * TileColumns - 1 : 0]     wr_strobe_i
);

  (* ram_style = "block" *) logic [16 * TileColumns - 1 : 0] memory[Words];

  always_ff @(posedge clk_i) begin
    if (wr_enable_i) begin
      for (int b = 0; b < 2 * TileColumns; b++) begin
        if (wr_strobe_i[b]) memory[wr_address_i][8*b+:8] <= wr_data_i[8*b+:8];
      end
    end
  end

  logic [16*TileColumns-1:0] rd_data_q;

  always_ff @(posedge clk_i) begin
    if (rd_enable_i) rd_data_q <= memory[rd_address_i];
    rd_data_o <= rd_data_q;
  end

endmodule
