// One bank of the activation memory in UltraRAM: one read and one write with byte enables per cycle, read two
// cycles later: the second register is the UltraRAM's own output register (UG901). Not reset, nor is the memory: nobody looks at
// what was not read.
module moesaic_act_ultra_bank #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned Words = 1024
) (
    input  logic                               clk_i,
    input  logic                               rd_enable_i,
    input  logic [$clog2(Words) - 1 : 0]       rd_address_i,
    output logic [16 * TileColumns - 1 : 0]    rd_data_o,
    input  logic                               wr_enable_i,
    input  logic [$clog2(Words) - 1 : 0]       wr_address_i,
    input  logic [16 * TileColumns - 1 : 0]    wr_data_i,
    input  logic [2 * TileColumns - 1 : 0]     wr_strobe_i
);

  // Slices as wide as the data of one UltraRAM.
  localparam int unsigned SliceBytes = 8;
  localparam int unsigned Slices = 2 * TileColumns / SliceBytes;

  for (genvar s = 0; s < Slices; s++) begin : gen_slice
    (* ram_style = "ultra" *) logic [8*SliceBytes-1:0] memory[Words];
    logic [SliceBytes-1:0] strobe;

    assign strobe = wr_strobe_i[s*SliceBytes+:SliceBytes];

    always_ff @(posedge clk_i) begin
      if (wr_enable_i && strobe != '0) begin
        for (int b = 0; b < SliceBytes; b++) begin
          if (strobe[b]) memory[wr_address_i][8*b+:8] <= wr_data_i[8*(s*SliceBytes+b)+:8];
        end
      end
    end

    logic [8*SliceBytes-1:0] rd_data_q;

    always_ff @(posedge clk_i) begin
      if (rd_enable_i) rd_data_q <= memory[rd_address_i];
      rd_data_o[8*SliceBytes*s+:8*SliceBytes] <= rd_data_q;
    end
  end

endmodule
