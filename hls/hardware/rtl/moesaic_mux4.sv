// One of four words, in one LUT a bit. A module of its own, so that synthesis does not split neighbouring multiplexers of one vector,
// such as those of a shift, into halves that they share: that takes up to twice the LUTs.
module moesaic_mux4 #(
    parameter int unsigned Width = 8
) (
    input  logic [3:0][Width-1:0] data_i,
    input  logic [1:0]            select_i,
    output logic [Width-1:0]      data_o
);

  assign data_o = data_i[select_i];

endmodule
