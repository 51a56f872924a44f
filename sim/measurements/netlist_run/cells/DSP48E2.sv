// The part of AMD's DSP48E2 that dsp48_mac uses, written from the equations of the user guide (UG579): 27 x 18 multiplier,
// W, X, Y and Z multiplexers (tables of OPMODE), P = Z + W + X + Y + CIN (ALUMODE 0000), input, C, M and P registers with their
// enables. Anything that is set otherwise than modelled stops the simulation.
//
// An unknown bit of an operand makes unknown what depends on it, and no more: bit i of a product or sum depends on bits 0 to i. The
// lower half of two packed products is thus known whatever the upper operand holds.
module DSP48E2 #(
    parameter AMULTSEL = "A",
    parameter BMULTSEL = "B",
    parameter A_INPUT = "DIRECT",
    parameter B_INPUT = "DIRECT",
    parameter USE_MULT = "MULTIPLY",
    parameter USE_SIMD = "ONE48",
    parameter logic [47:0] RND = 48'd0,
    parameter int AREG = 1,
    parameter int ACASCREG = 1,
    parameter int BREG = 1,
    parameter int BCASCREG = 1,
    parameter int MREG = 1,
    parameter int PREG = 1,
    parameter int CREG = 1,
    parameter int DREG = 1,
    parameter int ADREG = 1,
    parameter int OPMODEREG = 1,
    parameter int ALUMODEREG = 1,
    parameter int INMODEREG = 1,
    parameter int CARRYINREG = 1,
    parameter int CARRYINSELREG = 1
) (
    input  logic        CLK,
    input  logic [29:0] A,
    input  logic [17:0] B,
    input  logic [47:0] C,
    input  logic [26:0] D,
    input  logic [47:0] PCIN,
    output logic [47:0] PCOUT,
    output logic [47:0] P,
    input  logic [8:0]  OPMODE,
    input  logic [3:0]  ALUMODE,
    input  logic [4:0]  INMODE,
    input  logic        CARRYIN,
    input  logic [2:0]  CARRYINSEL,
    input  logic CEA1, CEA2, CEB1, CEB2, CEM, CEP, CEC, CED, CEAD, CECTRL, CEALUMODE, CEINMODE, CECARRYIN,
    input  logic RSTA, RSTB, RSTC, RSTD, RSTM, RSTP, RSTCTRL, RSTALUMODE, RSTINMODE, RSTALLCARRYIN,
    input  logic [29:0] ACIN,
    input  logic [17:0] BCIN,
    input  logic        CARRYCASCIN,
    input  logic        MULTSIGNIN,
    output logic [29:0] ACOUT,
    output logic [17:0] BCOUT,
    output logic        CARRYCASCOUT,
    output logic [3:0]  CARRYOUT,
    output logic        MULTSIGNOUT,
    output logic        OVERFLOW,
    output logic        UNDERFLOW,
    output logic        PATTERNDETECT,
    output logic        PATTERNBDETECT,
    output logic [7:0]  XOROUT
);

  // A 1 for each bit of value that is unknown; variables of two states take unknown bits for 0.
  function automatic bit [47:0] unknown_bits(input logic [47:0] value);
    bit [47:0] ones, zeros;
    ones = value;
    zeros = ~value;
    unknown_bits = ~(ones | zeros);
  endfunction

  // The bits of value from the lowest 1 of unknown on are unknown.
  function automatic logic [47:0] known_below(input bit [47:0] value, input bit [47:0] unknown);
    known_below = value ^ ((unknown | -unknown) & {48{1'bx}});
  endfunction

  function automatic logic [44:0] product(input logic signed [26:0] a, input logic signed [17:0] b);
    bit signed [26:0] a_known;
    bit signed [17:0] b_known;
    bit signed [44:0] known;
    if ((^{a, b}) !== 1'bx) begin
      product = a * b;
    end else begin
      a_known = a;
      b_known = b;
      known = a_known * b_known;
      product = 45'(known_below({3'b000, known}, unknown_bits({21'd0, a}) | unknown_bits({30'd0, b})));
    end
  endfunction

  function automatic logic [47:0] total(input logic [47:0] one, input logic [47:0] other);
    bit [47:0] one_known, other_known;
    if ((^{one, other}) !== 1'bx) begin
      total = one + other;
    end else begin
      one_known = one;
      other_known = other;
      total = known_below(one_known + other_known, unknown_bits(one) | unknown_bits(other));
    end
  endfunction

  if (AMULTSEL != "A" || BMULTSEL != "B" || A_INPUT != "DIRECT" || B_INPUT != "DIRECT" || USE_MULT != "MULTIPLY" ||
      USE_SIMD != "ONE48") begin : gen_path
    initial $fatal(1, "DSP48E2: only A * B from the ports is modelled");
  end
  if (AREG > 1 || BREG > 1 || OPMODEREG != 0 || ALUMODEREG != 0 || INMODEREG != 0 || CARRYINREG != 0) begin : gen_registers
    initial $fatal(1, "DSP48E2: at most one input register, and no control registers, are modelled");
  end

  logic signed [26:0] a_q, a_used;
  logic signed [17:0] b_q, b_used;
  logic signed [44:0] m_q, m_used;
  logic [47:0] c_q, c_used, p_q, alu, w, xy, z;

  // With one input register (AREG, BREG = 1) it is register 2, and INMODE 00000 selects it.
  assign a_used = (AREG == 1) ? a_q : A[26:0];
  assign b_used = (BREG == 1) ? b_q : B;
  assign c_used = (CREG == 1) ? c_q : C;
  assign m_used = (MREG == 1) ? m_q : product(a_used, b_used);

  always_comb begin
    case (OPMODE[8:7])
      2'b00: w = '0;
      2'b01: w = p_q;
      2'b10: w = RND;
      default: w = c_used;
    endcase
    case (OPMODE[6:4])
      3'b000: z = '0;
      3'b001: z = PCIN;
      3'b010: z = p_q;
      3'b011: z = c_used;
      default: z = 'x;
    endcase
    // The two partial products of the multiplier come through X and Y together.
    xy = (OPMODE[3:0] == 4'b0101) ? 48'(m_used) : (OPMODE[3:0] == 4'b0000) ? '0 : 'x;
    alu = total(total(z, w), xy);
  end

  always_ff @(posedge CLK) begin
    if (RSTA) a_q <= '0;
    else if (CEA2) a_q <= A[26:0];
    if (RSTB) b_q <= '0;
    else if (CEB2) b_q <= B;
    if (RSTC) c_q <= '0;
    else if (CEC) c_q <= C;
    if (RSTM) m_q <= '0;
    else if (CEM) m_q <= product(a_used, b_used);
    if (RSTP) p_q <= '0;
    else if (CEP) p_q <= alu;
    if (ALUMODE != 4'b0000 || INMODE != 5'b00000 || CARRYINSEL != 3'b000 || CARRYIN || OPMODE[6:4] > 3'd3 ||
        OPMODE[3:0] != 4'b0101) begin
      $fatal(1, "DSP48E2: a control value that is not modelled");
    end
  end

  assign P = (PREG == 1) ? p_q : alu;
  assign PCOUT = P;

  assign ACOUT = '0;
  assign BCOUT = '0;
  assign CARRYCASCOUT = 1'b0;
  assign CARRYOUT = '0;
  assign MULTSIGNOUT = 1'b0;
  assign OVERFLOW = 1'b0;
  assign UNDERFLOW = 1'b0;
  assign PATTERNDETECT = 1'b0;
  assign PATTERNBDETECT = 1'b0;
  assign XOROUT = '0;

endmodule
