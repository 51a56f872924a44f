// The operand buffer of a: for every row of the tile a ring of RingWords act words in LUT RAM.
//
// Words of the rows wr_group_i * ActPorts on are written, ActPorts per cycle at most, a cycle after their group and slot; TileDepth
// bytes of every row are read per cycle, four cycles after their position (word rd_slot_i, bytes rd_part_i * TileDepth on).
//
// Every row has registers of its own for the place that is written, and every Slices-th part of a row for the one that is read: an
// address has a load in each LUT of LUT RAM, 256 in a slice of 256 bits and 64 words, or of 128 bits and 128 words. None of the
// registers is reset, nor is the memory: nobody looks at what was not written.
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
    input  logic [$clog2(RingWords)-1:0]                               rd_slot_i,
    input  logic [$clog2(2*TileColumns/TileDepth)-1:0]                 rd_part_i,
    output logic [TileRows-1:0][TileDepth-1:0][7:0]                    rd_data_o
);

  localparam int unsigned CountBits = $clog2(TileRows + 1);
  localparam int unsigned SlotBits = $clog2(RingWords);
  localparam int unsigned PlaceBits = $clog2(2 * TileColumns / TileDepth);
  localparam int unsigned PartBits = 8 * TileDepth;
  localparam int unsigned WordBits = 16 * TileColumns;
  localparam int unsigned Slices = (WordBits * RingWords > 256 * 64) ? WordBits * RingWords / (256 * 64) : 1;
  localparam int unsigned SliceBits = WordBits / Slices;

  logic [SlotBits-1:0] rd_slot_q;
  logic [PlaceBits-1:0] rd_part_q;

  always_ff @(posedge clk_i) begin
    rd_slot_q <= rd_slot_i;
    rd_part_q <= rd_part_i;
  end

  for (genvar r = 0; r < TileRows; r++) begin : gen_row
    logic [WordBits-1:0] word;
    logic [PlaceBits-1:0] part;
    logic [PartBits-1:0] part_q;
    logic [SlotBits-1:0] wr_slot;
    logic selected, write;

    moesaic_replica #(
        .Width(SlotBits + 1)
    ) u_write (
        .clk_i,
        .data_i({wr_group_i == CountBits'(r / ActPorts), wr_slot_i}),
        .data_o({selected, wr_slot})
    );

    moesaic_replica #(
        .Width(PlaceBits)
    ) u_part (
        .clk_i,
        .data_i(rd_part_q),
        .data_o(part)
    );

    assign write = selected && wr_enable_i[r%ActPorts];

    for (genvar s = 0; s < Slices; s++) begin : gen_slice
      (* ram_style = "distributed" *) logic [SliceBits-1:0] memory[RingWords];
      logic [SlotBits-1:0] rd_slot;

      moesaic_replica #(
          .Width(SlotBits)
      ) u_slot (
          .clk_i,
          .data_i(rd_slot_q),
          .data_o(rd_slot)
      );

      always_ff @(posedge clk_i) begin
        if (write) memory[wr_slot] <= wr_data_i[r%ActPorts][SliceBits*s+:SliceBits];
      end

      assign word[SliceBits*s+:SliceBits] = memory[rd_slot];
    end

    always_ff @(posedge clk_i) begin
      part_q <= word[part*PartBits+:PartBits];
      rd_data_o[r] <= part_q;
    end
  end

endmodule
