// A queue of memory words that arrive in beats of 16 bytes: each beat goes to its lane of the word at the tail, or two at once to a pair
// of lanes, and the last one of a word completes it. Data lies in LUT RAM only. Depth is a power of two, at least 2; Lanes too.
//
// The data of a word is there in the cycle after it was taken: each lane has a copy of the place to read, with 128 loads at most. What was not
// written is not reset, and nobody looks at it.
module moesaic_word_buffer #(
    parameter int unsigned Lanes    = 2,
    parameter int unsigned TagWidth = 8,
    parameter int unsigned Depth    = 16
) (
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  logic                     valid_i,
    output logic                     ready_o,
    input  logic [$clog2(Lanes)-1:0] lane_i,
    input  logic                     pair_i,      // the lane of the same pair, too
    input  logic [1:0][127:0]        data_i,      // for even lanes, for odd ones
    input  logic                     last_i,      // of its word
    input  logic [TagWidth-1:0]      tag_i,       // kept of the last beat
    output logic                     valid_o,
    input  logic                     ready_i,
    output logic [128*Lanes-1:0]     data_o,      // of the word shown in the cycle before; lanes that were not written: anything
    output logic [Lanes-1:0]         strobe_o,
    output logic [TagWidth-1:0]      tag_o
);

  localparam int unsigned AddressBits = $clog2(Depth);

  if (Depth < 2 || (1 << AddressBits) != Depth || Lanes < 2) begin : gen_check
    $fatal(1, "word_buffer: Depth is %0d, it must be a power of two, at least 2; Lanes is %0d, at least 2", Depth, Lanes);
  end

  (* ram_style = "distributed" *) logic [TagWidth+Lanes-1:0] tags[Depth];
  logic [AddressBits:0] write_q, read_q;
  logic [Lanes-1:0] strobe_q, strobe, lane;
  logic write;

  always_comb begin
    for (int l = 0; l < int'(Lanes); l++) lane[l] = 32'(lane_i) == 32'(l) || (pair_i && 32'(lane_i) == 32'(l ^ 1));
  end

  assign ready_o = (write_q ^ read_q) != {1'b1, {AddressBits{1'b0}}};
  assign valid_o = write_q != read_q;
  assign write   = valid_i && ready_o;
  assign strobe  = strobe_q | lane;
  assign {tag_o, strobe_o} = tags[read_q[AddressBits-1:0]];

  always_ff @(posedge clk_i) begin
    if (write) strobe_q <= last_i ? '0 : strobe;
    if (write && last_i) begin
      tags[write_q[AddressBits-1:0]] <= {tag_i, strobe};
      write_q <= write_q + 1'b1;
    end
    if (valid_o && ready_i) read_q <= read_q + 1'b1;
    if (!rst_ni) begin
      write_q  <= '0;
      read_q   <= '0;
      strobe_q <= '0;
    end
  end

  for (genvar l = 0; l < Lanes; l++) begin : gen_lane
    (* ram_style = "distributed" *) logic [127:0] memory[Depth];

    logic [AddressBits-1:0] place;

    moesaic_replica #(
        .Width(AddressBits)
    ) u_place (
        .clk_i,
        .data_i(read_q[AddressBits-1:0]),
        .data_o(place)
    );

    assign data_o[128*l+:128] = memory[place];

    always_ff @(posedge clk_i) begin
      if (write && lane[l]) memory[write_q[AddressBits-1:0]] <= data_i[l%2];
    end
  end

`ifndef SYNTHESIS
  logic armed;
  logic [AddressBits:0] words;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  assign words = write_q - read_q;
  always_ff @(posedge clk_i) begin
    if (armed) begin
      never_overflows: assert (words <= (AddressBits + 1)'(Depth));
      lane_written_once_a_word: assert (!write || (strobe_q & lane) == '0);
    end
  end
`endif

endmodule
