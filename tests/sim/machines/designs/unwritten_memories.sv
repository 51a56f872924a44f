// Memories that nothing writes, in the three forms in which Verilator keeps a word: up to 32 bits, up to 64, and more.
module unwritten_memories #(
  parameter int unsigned Words = 64
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,
  input  logic [$clog2(Words)-1:0] address_i,
  output logic [7:0]               narrow_o,
  output logic [47:0]              middle_o,
  output logic [99:0]              wide_o
);

  logic [7:0]  narrow[Words];
  logic [47:0] middle[Words];
  logic [99:0] wide[Words];

  always_ff @(posedge clk_i) begin
    narrow_o <= narrow[address_i];
    middle_o <= middle[address_i];
    wide_o   <= wide[address_i];
    if (!rst_ni) narrow_o <= '0;
  end

endmodule
