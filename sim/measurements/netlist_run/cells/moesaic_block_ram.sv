// The memory of a RAMB36E2 or RAMB18E2 (AMD UG573): two ports, 9 to 72 bits wide, without output registers, resets or initial contents.
//
// Bytes with their parity bit are the unit. An unknown write enable makes the byte unknown; an unknown address of a write makes all of them
// so, and of a read its result. Both ports read what was there before the clock edge; if the one that writes is not READ_FIRST, a read of
// the same place by the other is unknown, as the guide leaves it open.
module moesaic_block_ram #(
    parameter AddressBits = 15,        // of a bit
    parameter ReadWidthA = 0,
    parameter ReadWidthB = 0,
    parameter WriteWidthA = 0,
    parameter WriteWidthB = 0,
    parameter ReadFirst = 1
) (
    input  wire                   clk_i,
    input  wire                   enable_a_i,
    input  wire                   enable_b_i,
    input  wire [7:0]             write_a_i,
    input  wire [7:0]             write_b_i,
    input  wire [AddressBits-1:0] address_a_i,
    input  wire [AddressBits-1:0] address_b_i,
    input  wire [71:0]            data_a_i,       // nine bits a byte, parity first
    input  wire [71:0]            data_b_i,
    output reg  [71:0]            data_a_o,
    output reg  [71:0]            data_b_o
);

  localparam Bytes = 1 << (AddressBits - 3);

  reg [8:0] memory[0:Bytes-1];
  integer a, b, i, n;

  function integer first(input [AddressBits-1:0] address, input integer width);
    // A wider word starts at a multiple of its bytes.
    first = (address >> 3) & ~(width / 9 - 1);
  endfunction

  task write(input [7:0] enable, input [AddressBits-1:0] address, input integer width, input [71:0] data);
    begin
      for (n = 0; n < width / 9; n = n + 1) begin
        if (enable[n] !== 1'b0) begin
          if ((^(address >> 3)) === 1'bx) for (i = 0; i < Bytes; i = i + 1) memory[i] <= 9'bx;
          else memory[first(address, width)+n] <= enable[n] === 1'b1 ? data[9*n+:9] : 9'bx;
        end
      end
    end
  endtask

  task read(input [AddressBits-1:0] address, input integer width, input [7:0] other_write,
            input [AddressBits-1:0] other_address, input integer other_width, output [71:0] data);
    begin
      data = 72'bx;
      if ((^(address >> 3)) !== 1'bx) begin
        for (n = 0; n < width / 9; n = n + 1) begin
          data[9*n+:9] = memory[first(address, width)+n];
          for (i = 0; !ReadFirst && i < other_width / 9; i = i + 1)
            if (other_write[i] !== 1'b0 && first(other_address, other_width) + i == first(address, width) + n)
              data[9*n+:9] = 9'bx;
        end
      end
    end
  endtask

  reg [71:0] found;

  always @(posedge clk_i) begin
    if (ReadWidthA != 0 && enable_a_i !== 1'b0) begin
      read(address_a_i, ReadWidthA, enable_b_i === 1'b0 ? 8'd0 : write_b_i, address_b_i, WriteWidthB, found);
      data_a_o <= enable_a_i === 1'b1 ? found : 72'bx;
    end
    if (ReadWidthB != 0 && enable_b_i !== 1'b0) begin
      read(address_b_i, ReadWidthB, enable_a_i === 1'b0 ? 8'd0 : write_a_i, address_a_i, WriteWidthA, found);
      data_b_o <= enable_b_i === 1'b1 ? found : 72'bx;
    end
    if (WriteWidthA != 0 && enable_a_i !== 1'b0) write(write_a_i & {8{enable_a_i}}, address_a_i, WriteWidthA, data_a_i);
    if (WriteWidthB != 0 && enable_b_i !== 1'b0) write(write_b_i & {8{enable_b_i}}, address_b_i, WriteWidthB, data_b_i);
  end

endmodule
