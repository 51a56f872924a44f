// URAM288 (AMD UG573) in the modes that Yosys maps to: no registers but the memory's own, no resets, no cascade, unknown initial contents.
//
// Of one clock edge, port A comes before port B: B reads what A writes. An unknown enable, direction or byte enable of a write makes its
// bytes unknown, an unknown address of a write everything.
module URAM288 #(
    parameter BWE_MODE_A = "PARITY_INTERLEAVED",
    parameter BWE_MODE_B = "PARITY_INTERLEAVED",
    parameter EN_AUTO_SLEEP_MODE = "FALSE",
    parameter IREG_PRE_A = "FALSE",
    parameter IREG_PRE_B = "FALSE",
    parameter IS_CLK_INVERTED = 1'b0,
    parameter OREG_A = "FALSE",
    parameter OREG_B = "FALSE",
    parameter RST_MODE_A = "SYNC",
    parameter RST_MODE_B = "SYNC"
) (
    input  wire CLK, SLEEP, INJECT_DBITERR_A, INJECT_SBITERR_A, INJECT_DBITERR_B, INJECT_SBITERR_B,
    input  wire EN_A, EN_B, RDB_WR_A, RDB_WR_B, RST_A, RST_B,
    input  wire [8:0]  BWE_A, BWE_B,
    input  wire [22:0] ADDR_A, ADDR_B,
    input  wire [71:0] DIN_A, DIN_B,
    output reg  [71:0] DOUT_A, DOUT_B
);

  localparam Words = 4096;

  reg [71:0] memory[0:Words-1];
  reg [71:0] word;
  integer i, n;

  initial begin
    if (IREG_PRE_A != "FALSE" || IREG_PRE_B != "FALSE" || OREG_A != "FALSE" || OREG_B != "FALSE" || IS_CLK_INVERTED !== 1'b0) begin
      $display("FAILED: %m: a mode of URAM288 that is not modelled");
      $finish;
    end
  end

  // Bytes 0 to 7 and, where parity is independent, the parity bits as a ninth; otherwise each byte's parity bit goes with it.
  task write(input [8:0] enable, input independent, input [22:0] address, input [71:0] data);
    begin
      if (enable !== 9'd0) begin
        if ((^address[11:0]) === 1'bx) begin
          for (i = 0; i < Words; i = i + 1) memory[i] = 72'bx;
        end else begin
          word = memory[address[11:0]];
          for (n = 0; n < 8; n = n + 1) begin
            if (enable[n] !== 1'b0) word[8*n+:8] = enable[n] === 1'b1 ? data[8*n+:8] : 8'bx;
            if (!independent && enable[n] !== 1'b0) word[64+n] = enable[n] === 1'b1 ? data[64+n] : 1'bx;
          end
          if (independent && enable[8] !== 1'b0) word[71:64] = enable[8] === 1'b1 ? data[71:64] : 8'bx;
          memory[address[11:0]] = word;
        end
      end
    end
  endtask

  always @(posedge CLK) begin
    if (EN_A !== 1'b0 && RDB_WR_A !== 1'b1)
      DOUT_A <= EN_A === 1'b1 && RDB_WR_A === 1'b0 && (^ADDR_A[11:0]) !== 1'bx ? memory[ADDR_A[11:0]] : 72'bx;
    write(BWE_A & {9{EN_A}} & {9{RDB_WR_A}}, BWE_MODE_A == "PARITY_INDEPENDENT", ADDR_A, DIN_A);
    if (EN_B !== 1'b0 && RDB_WR_B !== 1'b1)
      DOUT_B <= EN_B === 1'b1 && RDB_WR_B === 1'b0 && (^ADDR_B[11:0]) !== 1'bx ? memory[ADDR_B[11:0]] : 72'bx;
    write(BWE_B & {9{EN_B}} & {9{RDB_WR_B}}, BWE_MODE_B == "PARITY_INDEPENDENT", ADDR_B, DIN_B);
    if (RST_A !== 1'b0 || RST_B !== 1'b0) begin
      $display("FAILED: %m: a reset of URAM288, which is not modelled");
      $finish;
    end
  end

endmodule
