// A shift register without reset: data_o is data_i of `Stages` cycles ago.
module moesaic_delay_line #(
    parameter int unsigned Width = 8,
    parameter int unsigned Stages = 1
) (
    input  logic             clk_i,
    input  logic [Width-1:0] data_i,
    output logic [Width-1:0] data_o
);

  logic [Stages-1:0][Width-1:0] stages_q;

  always_ff @(posedge clk_i) begin
    stages_q[0] <= data_i;
    for (int s = 1; s < Stages; s++) stages_q[s] <= stages_q[s-1];
  end

  assign data_o = stages_q[Stages-1];

endmodule
