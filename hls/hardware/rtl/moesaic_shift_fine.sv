// The second half of an arithmetic shift to the right whose result saturates: by 0 to 3, one LUT a bit. beyond_o says that the Width
// bits at value_o are not the whole of the shifted value, whose sign is sign_i. moesaic_shift_coarse is the first half.
module moesaic_shift_fine #(
    parameter int unsigned Width = 17
) (
    input  logic [Width+2:0] value_i,
    input  logic             sign_i,
    input  logic [1:0]       shift_i,
    output logic [Width-1:0] value_o,
    output logic             beyond_o
);

  moesaic_mux4 #(
      .Width(Width)
  ) u_ones (
      .data_i  ({value_i[3+:Width], value_i[2+:Width], value_i[1+:Width], value_i[0+:Width]}),
      .select_i(shift_i),
      .data_o  (value_o)
  );

  assign beyond_o = value_i[Width+2] != sign_i
      || (value_i[Width+1] != sign_i && shift_i != 2'd3)
      || (value_i[Width] != sign_i && !shift_i[1])
      || (value_i[Width-1] != sign_i && shift_i == 2'd0);

endmodule
