// The address of the current row of a matrix in on-chip memory, in words (or half words): base + row * pitch.
//
// An address that leaves the on-chip memories stays beyond them: bit 30 sticks, and no memory has 2**28 words.
module row_address (
    input  logic        clk_i,
    input  logic        start_i,
    input  logic [31:0] base_i,      // below 2**29, as pitch_i: byte addresses of 32 bits in words of at least 8 bytes
    input  logic [31:0] pitch_i,
    input  logic        next_i,
    output logic [31:0] address_o
);

  logic [31:0] pitch_q;
  logic [31:0] sum;
  assign sum = address_o + pitch_q;

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      address_o <= base_i;
      pitch_q   <= pitch_i;
    end else if (next_i) begin
      address_o <= {1'b0, sum[31] | sum[30], sum[29:0]};
    end
  end

endmodule
