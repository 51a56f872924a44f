// The memory of a RAM64M8 or RAM32M16 (AMD UG574): a write port, and a read port for each column that answers at once. Contents start
// unknown; an unknown enable of a write makes its word unknown where it would change, an unknown address everything.
module moesaic_lut_ram #(
    parameter AddressBits = 6,
    parameter Width = 1                 // of a column
) (
    input  wire                     clk_i,
    input  wire                     write_i,
    input  wire [AddressBits-1:0]   write_address_i,
    input  wire [8*Width-1:0]       data_i,
    input  wire [8*AddressBits-1:0] read_addresses_i,
    output wire [8*Width-1:0]       data_o
);

  localparam Words = 1 << AddressBits;

  reg [8*Width-1:0] words[0:Words-1];
  integer i;

  genvar n;
  generate
    for (n = 0; n < 8; n = n + 1) begin : gen_column
      wire [8*Width-1:0] found = words[read_addresses_i[AddressBits*n+:AddressBits]];
      assign data_o[Width*n+:Width] = found[Width*n+:Width];
    end
  endgenerate

  always @(posedge clk_i) begin
    if (write_i !== 1'b0) begin
      if ((^write_address_i) === 1'bx) for (i = 0; i < Words; i = i + 1) words[i] <= {8 * Width{1'bx}};
      else words[write_address_i] <= write_i ? data_i : words[write_address_i];
    end
  end

endmodule
