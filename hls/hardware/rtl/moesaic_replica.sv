// One copy of a control signal, a cycle later: synthesis keeps it apart from its siblings, so that each has a bounded number of
// loads of its own. A limit on fan-out given to Vivado's synthesis does not touch enables and resets (UG912), hence by hand.
//
// Not reset: it follows its input, which the reset holds still for longer than a cycle.
module moesaic_replica #(
    parameter int unsigned Width = 1
) (
    input  logic             clk_i,
    input  logic [Width-1:0] data_i,
    output logic [Width-1:0] data_o
);

  (* keep = "true", dont_touch = "true" *) logic [Width-1:0] copy_q;

  always_ff @(posedge clk_i) copy_q <= data_i;

  assign data_o = copy_q;

endmodule
