// Two-entry stream register: neither ready nor payload passes combinationally, one transfer per cycle.
module moesaic_skid_buffer #(
    parameter int unsigned Width = 8
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             valid_i,
    output logic             ready_o,
    input  logic [Width-1:0] data_i,
    output logic             valid_o,
    input  logic             ready_i,
    output logic [Width-1:0] data_o
);

  logic valid_q, spare_valid_q;
  logic [Width-1:0] data_q, spare_q;

  assign ready_o = !spare_valid_q;
  assign valid_o = valid_q;
  assign data_o  = data_q;

  always_ff @(posedge clk_i) begin
    if (!valid_q || ready_i) begin
      valid_q       <= spare_valid_q || valid_i;
      data_q        <= spare_valid_q ? spare_q : data_i;
      spare_valid_q <= 1'b0;
    end else if (valid_i && !spare_valid_q) begin
      spare_valid_q <= 1'b1;
      spare_q       <= data_i;
    end
    if (!rst_ni) begin
      valid_q       <= 1'b0;
      spare_valid_q <= 1'b0;
    end
  end

endmodule
