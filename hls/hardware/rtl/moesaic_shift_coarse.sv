// The first half of an arithmetic shift to the right whose result saturates: by 0, 4, 8, ... 60, one LUT a bit for the steps of 16 and
// one for those of 4. Of the result the lowest Kept bits go on; beyond_o says that a bit above them is not the sign.
//
// shift_i is the shift over four. moesaic_shift_fine is the other half; a register may stand between.
module moesaic_shift_coarse #(
    parameter int unsigned Width = 44,
    parameter int unsigned Kept = 20
) (
    input  logic [Width-1:0] value_i,
    input  logic [3:0]       shift_i,
    output logic [Kept-1:0]  value_o,
    output logic             beyond_o
);

  localparam int unsigned Middle = Kept + 12;
  localparam int unsigned Total = Middle + 48;

  logic sign;
  logic [Total-1:0] extended;
  logic [Middle-1:0] sixteens;
  logic [47:0] above_sixteens;  // what is above the bits that a step keeps, as differences from the sign
  logic [11:0] above_fours;
  logic beyond_sixteens, beyond_fours;

  assign sign = value_i[Width-1];
  assign extended = {{(Total - Width) {sign}}, value_i};
  assign above_sixteens = extended[Middle+:48] ^ {48{sign}};
  assign above_fours = sixteens[Kept+:12] ^ {12{sign}};

  moesaic_mux4 #(
      .Width(Middle)
  ) u_sixteens (
      .data_i  ({extended[48+:Middle], extended[32+:Middle], extended[16+:Middle], extended[0+:Middle]}),
      .select_i(shift_i[3:2]),
      .data_o  (sixteens)
  );

  moesaic_mux4 #(
      .Width(Kept)
  ) u_fours (
      .data_i  ({sixteens[12+:Kept], sixteens[8+:Kept], sixteens[4+:Kept], sixteens[0+:Kept]}),
      .select_i(shift_i[1:0]),
      .data_o  (value_o)
  );

  assign beyond_sixteens = (above_sixteens[47:32] != '0 && shift_i[3:2] != 2'd3) || (above_sixteens[31:16] != '0 && !shift_i[3])
      || (above_sixteens[15:0] != '0 && shift_i[3:2] == 2'd0);
  assign beyond_fours = (above_fours[11:8] != '0 && shift_i[1:0] != 2'd3) || (above_fours[7:4] != '0 && !shift_i[1])
      || (above_fours[3:0] != '0 && shift_i[1:0] == 2'd0);
  assign beyond_o = beyond_sixteens || beyond_fours;

  if (Width >= Total) begin : gen_check
    $fatal(1, "shift_coarse: Width is %0d, it must be below %0d", Width, Total);
  end

endmodule
