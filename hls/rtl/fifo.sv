// First-word-fall-through queue in LUT RAM. Depth is a power of two, at least 2.
module fifo #(
    parameter int unsigned Width = 8,
    parameter int unsigned Depth = 16
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             valid_i,
    output logic             ready_o,
    input  logic [Width-1:0] data_i,
    output logic             valid_o,
    input  logic             ready_i,
    output logic [Width-1:0] data_o
);

  localparam int unsigned AddressBits = $clog2(Depth);

  if (Depth < 2 || (1 << AddressBits) != Depth) begin : gen_check
    $fatal(1, "fifo: Depth must be a power of two, at least 2");
  end

  (* ram_style = "distributed" *) logic [Width-1:0] memory[Depth];
  // One bit more than an address: equal pointers mean empty, pointers Depth apart mean full.
  logic [AddressBits:0] write_q, read_q;

  assign ready_o = (write_q ^ read_q) != {1'b1, {AddressBits{1'b0}}};
  assign valid_o = write_q != read_q;
  assign data_o  = memory[read_q[AddressBits-1:0]];

  always_ff @(posedge clk_i) begin
    if (valid_i && ready_o) begin
      memory[write_q[AddressBits-1:0]] <= data_i;
      write_q <= write_q + 1'b1;
    end
    if (valid_o && ready_i) read_q <= read_q + 1'b1;
    if (!rst_ni) begin
      write_q <= '0;
      read_q  <= '0;
    end
  end

endmodule
