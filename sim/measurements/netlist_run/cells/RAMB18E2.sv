// RAMB18E2 (AMD UG573) in the modes that Yosys maps to: one clock, no output registers, no resets, no cascade, unknown initial contents.
module RAMB18E2 #(
    parameter DOA_REG = 1,
    parameter DOB_REG = 1,
    parameter [71:0] INIT_A = 72'd0,
    parameter [71:0] INIT_B = 72'd0,
    parameter READ_WIDTH_A = 0,
    parameter READ_WIDTH_B = 0,
    parameter [71:0] SRVAL_A = 72'd0,
    parameter [71:0] SRVAL_B = 72'd0,
    parameter WRITE_MODE_A = "NO_CHANGE",
    parameter WRITE_MODE_B = "NO_CHANGE",
    parameter WRITE_WIDTH_A = 0,
    parameter WRITE_WIDTH_B = 0
) (
    input  wire CLKARDCLK, CLKBWRCLK, ENARDEN, ENBWREN, ADDRENA, ADDRENB, SLEEP,
    input  wire REGCEAREGCE, REGCEB, RSTRAMARSTRAM, RSTRAMB, RSTREGARSTREG, RSTREGB,
    input  wire [13:0] ADDRARDADDR,
    input  wire [13:0] ADDRBWRADDR,
    input  wire [15:0] DINADIN, DINBDIN,
    input  wire [1:0] DINPADINP, DINPBDINP,
    input  wire [1:0] WEA,
    input  wire [3:0] WEBWE,
    output wire [15:0] DOUTADOUT, DOUTBDOUT,
    output wire [1:0] DOUTPADOUTP, DOUTPBDOUTP
);

  // The widest words take the pins of both ports: reads those of A, writes those of B.
  localparam Widest = 36;

  initial begin
    if (DOA_REG != 0 || DOB_REG != 0 || (READ_WIDTH_A % 9) != 0 || (READ_WIDTH_B % 9) != 0 || (WRITE_WIDTH_A % 9) != 0 ||
        (WRITE_WIDTH_B % 9) != 0 || READ_WIDTH_B == Widest || WRITE_WIDTH_A == Widest) begin
      $display("FAILED: %m: a mode of RAMB18E2 that is not modelled");
      $finish;
    end
  end

  wire [71:0] in_a, in_b, out_a, out_b;
  wire [7:0] write_b = WEBWE;

  genvar n;
  generate
    for (n = 0; n < 8; n = n + 1) begin : gen_byte
      assign in_a[9*n+:9] = n < 2 ? {DINPADINP[n%2], DINADIN[8*(n%2)+:8]} : 9'd0;
      assign in_b[9*n+:9] = WRITE_WIDTH_B == Widest
          ? (n < 2 ? {DINPADINP[n%2], DINADIN[8*(n%2)+:8]} : n < 4 ? {DINPBDINP[n%2], DINBDIN[8*(n%2)+:8]} : 9'd0)
          : n < 2 ? {DINPBDINP[n%2], DINBDIN[8*(n%2)+:8]} : 9'd0;
    end
    for (n = 0; n < 2; n = n + 1) begin : gen_out
      assign {DOUTPADOUTP[n], DOUTADOUT[8*n+:8]} = out_a[9*n+:9];
      assign {DOUTPBDOUTP[n], DOUTBDOUT[8*n+:8]} = READ_WIDTH_A == Widest ? out_a[9*(n+2)+:9] : out_b[9*n+:9];
    end
  endgenerate

  moesaic_block_ram #(
      .AddressBits(14),
      .ReadWidthA(READ_WIDTH_A),
      .ReadWidthB(READ_WIDTH_B),
      .WriteWidthA(WRITE_WIDTH_A),
      .WriteWidthB(WRITE_WIDTH_B),
      .ReadFirst((WRITE_WIDTH_A == 0 || WRITE_MODE_A == "READ_FIRST") && (WRITE_WIDTH_B == 0 || WRITE_MODE_B == "READ_FIRST"))
  ) u_memory (
      .clk_i(CLKARDCLK),
      .enable_a_i(ENARDEN),
      .enable_b_i(ENBWREN),
      .write_a_i({6'd0, WEA}),
      .write_b_i(write_b),
      .address_a_i(ADDRARDADDR),
      .address_b_i(ADDRBWRADDR),
      .data_a_i(in_a),
      .data_b_i(in_b),
      .data_a_o(out_a),
      .data_b_o(out_b)
  );

endmodule
