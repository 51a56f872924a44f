// The operand buffer of a: for every row of the tile a ring of RingWords act words in LUT RAM.
//
// Words of the rows wr_group_i * ActPorts on are written, ActPorts per cycle at most; TileDepth bytes of every row are read
// per cycle, two cycles after their position (word rd_slot_i, bytes rd_part_i * TileDepth on).
module moesaic_operand_buffer #(
    parameter int unsigned TileRows = 4,
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth = 4,
    parameter int unsigned ActPorts = 2,
    parameter int unsigned RingWords = 256
) (
    input  logic                                                       clk_i,
    input  logic [ActPorts-1:0]                                        wr_enable_i,
    input  logic [$clog2(TileRows+1)-1:0]                              wr_group_i,
    input  logic [$clog2(RingWords)-1:0]                               wr_slot_i,
    input  logic [ActPorts-1:0][16*TileColumns-1:0]                    wr_data_i,
    input  logic                                                       rd_enable_i,
    input  logic [$clog2(RingWords)-1:0]                               rd_slot_i,
    input  logic [$clog2(2*TileColumns/TileDepth)-1:0]                 rd_part_i,
    output logic [TileRows-1:0][TileDepth-1:0][7:0]                    rd_data_o
);

  localparam int unsigned CountBits = $clog2(TileRows + 1);
  localparam int unsigned PartBits = 8 * TileDepth;

  for (genvar r = 0; r < TileRows; r++) begin : gen_row
    (* ram_style = "distributed" *) logic [16*TileColumns-1:0] memory[RingWords];
    logic [16*TileColumns-1:0] word;
    logic [PartBits-1:0] part_q;

    assign word = memory[rd_slot_i];

    always_ff @(posedge clk_i) begin
      if (wr_enable_i[r%ActPorts] && wr_group_i == CountBits'(r / ActPorts)) memory[wr_slot_i] <= wr_data_i[r%ActPorts];
    end

    always_ff @(posedge clk_i) begin
      if (rd_enable_i) part_q <= word[rd_part_i*PartBits+:PartBits];
      rd_data_o[r] <= part_q;
    end
  end

endmodule
