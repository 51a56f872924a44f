// A column of a distributed RAM (AMD UG574): a write port and a read port that answers at once. Contents start unknown; an unknown enable of a
// write makes its word unknown where it would change, an unknown address everything.
module moesaic_lut_ram #(
    parameter AddressBits = 6,
    parameter Width = 1
) (
    input  wire                   clk_i,
    input  wire                   write_i,
    input  wire [AddressBits-1:0] write_address_i,
    input  wire [Width-1:0]       data_i,
    input  wire [AddressBits-1:0] read_address_i,
    output wire [Width-1:0]       data_o
);

  reg [Width*(1<<AddressBits)-1:0] bits;

  assign data_o = bits[Width*read_address_i+:Width];

  always @(posedge clk_i) begin
    if (write_i !== 1'b0) begin
      if ((^write_address_i) === 1'bx) bits <= {Width * (1 << AddressBits) {1'bx}};
      else bits[Width*write_address_i+:Width] <= write_i ? data_i : bits[Width*write_address_i+:Width];
    end
  end

endmodule
