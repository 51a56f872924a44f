// One DSP48E2 as a link of a cascade: sum_o = cascade + a_i * b_i, three enabled cycles after the operands.
//
// The first link of a cascade starts from the constant Start, the others from cascade_i, the sum of the link before, which must
// come from a slice's dedicated output. Registers: operands, product, sum.
//
// The behavioural description is what is simulated, and a synthesis tool may infer the slice from it. With MOESAIC_DSP48E2
// defined the slice is instantiated instead (AMD UG579: OPMODE, ALUMODE and the register attributes), for tools that cannot.
module moesaic_dsp48_mac #(
    parameter bit First = 1'b0,
    parameter logic [47:0] Start = '0
) (
    input  logic               clk_i,
    input  logic               enable_i,
    input  logic signed [26:0] a_i,
    input  logic signed [17:0] b_i,
    input  logic signed [47:0] cascade_i,
    output logic signed [47:0] cascade_o,
    output logic signed [47:0] sum_o
);

`ifdef MOESAIC_DSP48E2

  // {W, Z, Y, X}: W adds Start (RND) in the first link, Z the cascade in the others; X and Y add the product.
  localparam logic [8:0] OpMode = First ? 9'b10_000_01_01 : 9'b00_001_01_01;

  logic [47:0] first_or_cascade;

  assign first_or_cascade = First ? 48'd0 : 48'(cascade_i);

  DSP48E2 #(
      .AMULTSEL("A"),
      .BMULTSEL("B"),
      .A_INPUT("DIRECT"),
      .B_INPUT("DIRECT"),
      .USE_MULT("MULTIPLY"),
      .USE_SIMD("ONE48"),
      .RND(Start),
      .AREG(1),
      .ACASCREG(1),
      .BREG(1),
      .BCASCREG(1),
      .MREG(1),
      .PREG(1),
      .CREG(1),
      .DREG(1),
      .ADREG(1),
      .OPMODEREG(0),
      .ALUMODEREG(0),
      .INMODEREG(0),
      .CARRYINREG(0),
      .CARRYINSELREG(0)
  ) u_slice (
      .CLK(clk_i),
      .A({{3{a_i[26]}}, a_i}),
      .B(b_i),
      .C(48'd0),
      .D(27'd0),
      .PCIN(first_or_cascade),
      .PCOUT(cascade_o),
      .P(sum_o),
      .OPMODE(OpMode),
      .ALUMODE(4'b0000),
      .INMODE(5'b00000),
      .CARRYIN(1'b0),
      .CARRYINSEL(3'b000),
      .CEA1(1'b0),
      .CEA2(enable_i),
      .CEB1(1'b0),
      .CEB2(enable_i),
      .CEM(enable_i),
      .CEP(enable_i),
      .CEC(1'b0),
      .CED(1'b0),
      .CEAD(1'b0),
      .CECTRL(1'b0),
      .CEALUMODE(1'b0),
      .CEINMODE(1'b0),
      .CECARRYIN(1'b0),
      .RSTA(1'b0),
      .RSTB(1'b0),
      .RSTC(1'b0),
      .RSTD(1'b0),
      .RSTM(1'b0),
      .RSTP(1'b0),
      .RSTCTRL(1'b0),
      .RSTALUMODE(1'b0),
      .RSTINMODE(1'b0),
      .RSTALLCARRYIN(1'b0),
      .ACIN(30'd0),
      .BCIN(18'd0),
      .CARRYCASCIN(1'b0),
      .MULTSIGNIN(1'b0),
      .ACOUT(),
      .BCOUT(),
      .CARRYCASCOUT(),
      .CARRYOUT(),
      .MULTSIGNOUT(),
      .OVERFLOW(),
      .UNDERFLOW(),
      .PATTERNDETECT(),
      .PATTERNBDETECT(),
      .XOROUT()
  );

`else

  logic signed [26:0] a_q;
  logic signed [17:0] b_q;
  logic signed [44:0] product_q;
  logic signed [47:0] sum_q;

  always_ff @(posedge clk_i) begin
    if (enable_i) begin
      a_q <= a_i;
      b_q <= b_i;
      product_q <= a_q * b_q;
      sum_q <= (First ? $signed(Start) : cascade_i) + $signed({{3{product_q[44]}}, product_q});
    end
  end

  assign cascade_o = sum_q;
  assign sum_o = sum_q;

`endif

endmodule
