// Distributed RAM of 32 words of 16 bits in eight columns, each with a read address; that of the last one is the write address, too.
// Yosys' own model starts with zeros where the source leaves the contents open, and takes an unknown enable of a write for an inactive one.
module RAM32M16 #(
    parameter [63:0] INIT_A = 64'd0,
    parameter [63:0] INIT_B = 64'd0,
    parameter [63:0] INIT_C = 64'd0,
    parameter [63:0] INIT_D = 64'd0,
    parameter [63:0] INIT_E = 64'd0,
    parameter [63:0] INIT_F = 64'd0,
    parameter [63:0] INIT_G = 64'd0,
    parameter [63:0] INIT_H = 64'd0,
    parameter [0:0] IS_WCLK_INVERTED = 1'b0
) (
    input  wire WCLK, WE,
    input  wire [4:0] ADDRA, ADDRB, ADDRC, ADDRD, ADDRE, ADDRF, ADDRG, ADDRH,
    input  wire [1:0] DIA, DIB, DIC, DID, DIE, DIF, DIG, DIH,
    output wire [1:0] DOA, DOB, DOC, DOD, DOE, DOF, DOG, DOH
);

  initial begin
    if (IS_WCLK_INVERTED != 1'b0) begin
      $display("FAILED: %m: a mode of RAM32M16 that is not modelled");
      $finish;
    end
  end

  moesaic_lut_ram #(
      .AddressBits(5),
      .Width(2)
  ) u_memory (
      .clk_i(WCLK),
      .write_i(WE),
      .write_address_i(ADDRH),
      .data_i({DIH, DIG, DIF, DIE, DID, DIC, DIB, DIA}),
      .read_addresses_i({ADDRH, ADDRG, ADDRF, ADDRE, ADDRD, ADDRC, ADDRB, ADDRA}),
      .data_o({DOH, DOG, DOF, DOE, DOD, DOC, DOB, DOA})
  );

endmodule
