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

  moesaic_port_buffer #(
      .Width(Width),
      .Ports(1)
  ) u_buffer (
      .clk_i,
      .rst_ni,
      .valid_i,
      .ready_o,
      .ports_i     (1'b1),
      .data_i,
      .port_valid_o(valid_o),
      .port_ready_i(ready_i),
      .data_o,
      .leaves_o    ()
  );

endmodule
