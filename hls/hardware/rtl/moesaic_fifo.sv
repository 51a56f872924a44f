// First-word-fall-through queue in LUT RAM. Depth is a power of two, at least 2. Valid and ready come from registers.
//
// A place to read has a load in each LUT of LUT RAM, one for each bit in queues of 64 entries: wider ones than SliceBits have a copy
// of it for every slice. The entries are not reset: only what was written is shown.
module moesaic_fifo #(
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
    $fatal(1, "fifo: Depth is %0d, it must be a power of two, at least 2", Depth);
  end

  localparam int unsigned SliceBits = (Width > 448) ? 448 : Width;
  localparam int unsigned Slices = (Width + SliceBits - 1) / SliceBits;

  // One bit more than an address: equal pointers mean empty, pointers Depth apart mean full.
  logic [AddressBits:0] write_q, read_q, read, read_next, write_next;
  logic valid_q, ready_q, push, pop, one_entry, one_place;

  assign push       = valid_i && ready_q;
  assign pop        = valid_q && ready_i;
  assign read_next  = read_q + 1'b1;
  assign write_next = write_q + 1'b1;
  assign one_entry  = write_q == read_next;
  assign one_place  = (write_next ^ read_q) == {1'b1, {AddressBits{1'b0}}};

  assign ready_o = ready_q;
  assign valid_o = valid_q;
  assign read    = !rst_ni ? '0 : pop ? read_next : read_q;

  always_ff @(posedge clk_i) begin
    if (push) write_q <= write_next;
    read_q  <= read;
    valid_q <= push || (valid_q && !(pop && one_entry));
    ready_q <= pop || (ready_q && !(push && one_place));
    if (!rst_ni) begin
      write_q <= '0;
      valid_q <= 1'b0;
      ready_q <= 1'b1;
    end
  end

  for (genvar s = 0; s < Slices; s++) begin : gen_slice
    localparam int unsigned First = SliceBits * s;
    localparam int unsigned Bits = (Width - First > SliceBits) ? SliceBits : Width - First;

    (* ram_style = "distributed" *) logic [Bits-1:0] memory[Depth];
    logic [AddressBits-1:0] place;

    if (Slices == 1) begin : gen_own
      assign place = read_q[AddressBits-1:0];
    end else begin : gen_copy
      moesaic_replica #(
          .Width(AddressBits)
      ) u_place (
          .clk_i,
          .data_i(read[AddressBits-1:0]),
          .data_o(place)
      );
    end

    always_ff @(posedge clk_i) begin
      if (push) memory[write_q[AddressBits-1:0]] <= data_i[First+:Bits];
    end

    assign data_o[First+:Bits] = memory[place];
  end

`ifndef SYNTHESIS
  logic armed;
  logic [AddressBits:0] entries;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  assign entries = write_q - read_q;
  always_ff @(posedge clk_i) begin
    if (armed) begin
      never_overflows: assert (entries <= (AddressBits + 1)'(Depth));
      valid_while_not_empty: assert (valid_q == (entries != '0));
      ready_while_not_full: assert (ready_q == (entries != (AddressBits + 1)'(Depth)));
    end
  end
`endif

endmodule
