// The address of the row after the current one of a matrix in on-chip memory, in words or half words. The current row is the
// first from start_i on, each next_i makes it the next.
//
// base and pitch are byte addresses of 32 bits in units of at least 8 bytes, below 2**29, and no memory is larger than that.
// So the first row beyond a memory has an address below 2**30: it is refused there before the sum could wrap.
module moesaic_row_address (
    input  logic        clk_i,
    input  logic        start_i,
    input  logic [31:0] base_i,
    input  logic [31:0] pitch_i,
    input  logic        next_i,
    output logic [31:0] next_o
);

  logic [31:0] row_q, pitch_q;

  assign next_o = row_q + pitch_q;

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      row_q   <= base_i;
      pitch_q <= pitch_i;
    end else if (next_i) begin
      row_q <= next_o;
    end
  end

endmodule
