// The memory of a queue in LUT RAM, with pointers of its own, for an owner that knows how many entries there are
// (moesaic_queue_level). data_o is the oldest entry. Depth is a power of two, at least 2.
//
// A wide queue takes several of these side by side: a bit of a pointer has a load in each LUT of its own memory, at most
// Width * Depth / 32 of them and no more than Width up to a Depth of 32.
module moesaic_queue_memory #(
    parameter int unsigned Width = 8,
    parameter int unsigned Depth = 16
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             push_i,
    input  logic [Width-1:0] data_i,
    input  logic             pop_i,
    output logic [Width-1:0] data_o
);

  localparam int unsigned AddressBits = $clog2(Depth);

  if (Depth < 2 || (1 << AddressBits) != Depth) begin : gen_check
    $fatal(1, "queue_memory: Depth is %0d, it must be a power of two, at least 2", Depth);
  end

  (* ram_style = "distributed" *) logic [Width-1:0] memory[Depth];
  (* keep = "true", dont_touch = "true" *) logic [AddressBits-1:0] write_q, read_q;

  assign data_o = memory[read_q];

  always_ff @(posedge clk_i) begin
    if (push_i) begin
      memory[write_q] <= data_i;
      write_q <= write_q + 1'b1;
    end
    if (pop_i) read_q <= read_q + 1'b1;
    if (!rst_ni) begin
      write_q <= '0;
      read_q  <= '0;
    end
  end

endmodule
