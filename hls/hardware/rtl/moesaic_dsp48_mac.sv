// One DSP48E2: sum_o = c_i + a_i * b_i, or, as a link of a cascade, cascade_i + a_i * b_i, three cycles after a_i and b_i.
//
// c_i is taken a cycle after the operands that it is added to. cascade_i is the sum of the link before, from its cascade_o, a
// dedicated wire, two cycles after the operands. Every register that a slice has is used and always moves: operands, addend,
// product, sum.
//
// Simulators read the behavioural description. A design for AMD's devices defines MOESAIC_DSP48E2 and gets the slice itself
// (AMD UG579: OPMODE, ALUMODE and the register attributes), so that no tool has to infer it.
module moesaic_dsp48_mac #(
    parameter bit Cascaded = 1'b0
) (
    input  logic               clk_i,
    input  logic signed [26:0] a_i,
    input  logic signed [17:0] b_i,
    input  logic signed [47:0] c_i,
    input  logic signed [47:0] cascade_i,
    output logic signed [47:0] cascade_o,
    output logic signed [47:0] sum_o
);

`ifdef MOESAIC_DSP48E2

  // {W, Z, Y, X}: Z adds the cascade or C, X and Y the product.
  localparam logic [8:0] OpMode = Cascaded ? 9'b00_001_01_01 : 9'b00_011_01_01;

  // What is not added is a constant at the slice.
  logic [47:0] addend, cascade;

  assign addend = Cascaded ? 48'd0 : c_i;
  assign cascade = Cascaded ? cascade_i : 48'd0;

  DSP48E2 #(
      .AMULTSEL("A"),
      .BMULTSEL("B"),
      .A_INPUT("DIRECT"),
      .B_INPUT("DIRECT"),
      .USE_MULT("MULTIPLY"),
      .USE_SIMD("ONE48"),
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
      .C(addend),
      .D(27'd0),
      .PCIN(cascade),
      .PCOUT(cascade_o),
      .P(sum_o),
      .OPMODE(OpMode),
      .ALUMODE(4'b0000),
      .INMODE(5'b00000),
      .CARRYIN(1'b0),
      .CARRYINSEL(3'b000),
      .CEA1(1'b0),
      .CEA2(1'b1),
      .CEB1(1'b0),
      .CEB2(1'b1),
      .CEM(1'b1),
      .CEP(1'b1),
      .CEC(1'b1),
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
  logic signed [47:0] c_q, sum_q;

  always_ff @(posedge clk_i) begin
    a_q <= a_i;
    b_q <= b_i;
    c_q <= c_i;
    product_q <= a_q * b_q;
    sum_q <= (Cascaded ? cascade_i : c_q) + $signed({{3{product_q[44]}}, product_q});
  end

  assign cascade_o = sum_q;
  assign sum_o = sum_q;

`endif

endmodule
