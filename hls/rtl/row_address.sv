// The address of the current row of a matrix in on-chip memory, in words or half words: base + row * pitch.
//
// base and pitch are byte addresses of 32 bits in units of at least 8 bytes, below 2**29, and no memory is larger than that.
// So the first row beyond a memory has an address below 2**30: it is refused there before the sum could wrap.
module row_address (
    input  logic        clk_i,
    input  logic        start_i,
    input  logic [31:0] base_i,
    input  logic [31:0] pitch_i,
    input  logic        next_i,
    output logic [31:0] address_o
);

  logic [31:0] pitch_q;

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      address_o <= base_i;
      pitch_q   <= pitch_i;
    end else if (next_i) begin
      address_o <= address_o + pitch_q;
    end
  end

endmodule
