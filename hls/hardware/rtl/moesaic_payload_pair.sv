// What the two entries of a port_buffer carry beside its own payload, where that is wide: the memory's answer, which comes late in
// a cycle and lets an entry leave, moves a few bits here and no enable of the payload.
//
// enters_i and leaves_i are those of the port_buffer; data_o belongs to the entry at its ports. Each slice of 256 bits has its
// own copies of the bits that move it, with 256 loads at most. The payload is not reset: it means something only with an entry.
module moesaic_payload_pair #(
    parameter int unsigned Width = 8
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             enters_i,
    input  logic             leaves_i,
    input  logic [Width-1:0] data_i,
    output logic [Width-1:0] data_o
);

  localparam int unsigned SliceBits = (Width > 256) ? 256 : Width;
  localparam int unsigned Slices = (Width + SliceBits - 1) / SliceBits;

  logic [1:0] entries_q, entries;
  logic write_q, write, read_q, read;

  always_comb begin
    entries = entries_q + 2'(enters_i) - 2'(leaves_i);
    write   = write_q ^ enters_i;
    read    = read_q ^ leaves_i;
    if (!rst_ni) {entries, write, read} = '0;
  end

  always_ff @(posedge clk_i) begin
    entries_q <= entries;
    write_q   <= write;
    read_q    <= read;
  end

  for (genvar s = 0; s < Slices; s++) begin : gen_slice
    localparam int unsigned First = SliceBits * s;
    localparam int unsigned Bits = (Width - First > SliceBits) ? SliceBits : Width - First;

    logic load_0, load_1, second;
    logic [Bits-1:0] data_0_q, data_1_q;

    moesaic_replica #(
        .Width(3)
    ) u_control (
        .clk_i,
        .data_i({entries != 2'd2 && !write, entries != 2'd2 && write, read}),
        .data_o({load_0, load_1, second})
    );

    always_ff @(posedge clk_i) begin
      if (load_0) data_0_q <= data_i[First+:Bits];
      if (load_1) data_1_q <= data_i[First+:Bits];
    end

    assign data_o[First+:Bits] = second ? data_1_q : data_0_q;
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      never_overflows: assert (entries_q != 2'd2 || !enters_i);
      leaves_only_what_is_there: assert (entries_q != '0 || !leaves_i);
    end
  end
`endif

endmodule
