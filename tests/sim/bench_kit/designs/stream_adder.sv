// Adds two streams of operands into a register; Fault 1 never answers, 2 adds wrongly, 3 drops valid, 4 changes the payload.
module stream_adder #(
  parameter int Width = 8,
  parameter int Fault = 0
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             valid_i,
  output logic             ready_o,
  input  logic [Width-1:0] a_i,
  input  logic [Width-1:0] b_i,
  output logic             valid_o,
  input  logic             ready_i,
  output logic [Width:0]   sum_o
);

  logic           full_q;
  logic [Width:0] sum_q;

  assign ready_o = !full_q || ready_i;
  assign valid_o = (Fault == 1) ? 1'b0 : full_q;
  assign sum_o   = sum_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      full_q <= 1'b0;
    end else if (ready_o) begin
      full_q <= valid_i;
      if (Fault == 2) sum_q <= (Width+1)'(a_i) | (Width+1)'(b_i);
      else sum_q <= (Width+1)'(a_i) + (Width+1)'(b_i);
    end else begin
      if (Fault == 3) full_q <= 1'b0;
      if (Fault == 4) sum_q <= ~sum_q;
    end
  end

endmodule
