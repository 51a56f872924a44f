// moesaic_fifo: what enters leaves in order, once, unchanged; valid while it holds any, ready while there is room.
module fifo_proof #(
    parameter int unsigned Width = 4,
    parameter int unsigned Depth = 4,
    parameter bit Ends = 1'b0,    // follow the first and the last bit only, of the first and the last slice: all bits of a slice go one way
    localparam int unsigned Followed = Ends ? 2 : Width,
    localparam int unsigned AddressBits = $clog2(Depth),
    localparam int unsigned SliceBits = (Width > 448) ? 448 : Width
) (
    input logic             clk_i,
    input logic             rst_ni,
    input logic             valid_i,
    input logic [Width-1:0] data_i,
    input logic             ready_i,
    input logic             choose_i
);

  logic ready, valid, chosen;
  logic [Width-1:0] data;
  logic [Followed-1:0] entered, left, value;
  logic [AddressBits:0] count, ahead;
  logic [AddressBits-1:0] place;

  reset_assumed u_reset (.clk_i, .rst_ni);

  moesaic_fifo #(
      .Width(Width),
      .Depth(Depth)
  ) u_fifo (
      .clk_i,
      .rst_ni,
      .valid_i,
      .ready_o(ready),
      .data_i,
      .valid_o(valid),
      .ready_i,
      .data_o (data)
  );

  if (Ends) begin : gen_ends
    assign entered = {data_i[Width-1], data_i[0]};
    assign left    = {data[Width-1], data[0]};
  end else begin : gen_all
    assign entered = data_i;
    assign left    = data;
  end

  stream_order #(
      .Width(Followed),
      .Most (Depth)
  ) u_order (
      .clk_i,
      .rst_ni,
      .choose_i,
      .enter_i  (valid_i && ready),
      .entered_i(entered),
      .leave_i  (valid && ready_i),
      .left_i   (left),
      .inside_o (count),
      .chosen_o (chosen),
      .ahead_o  (ahead),
      .value_o  (value)
  );

  assign place = AddressBits'(u_fifo.read_q) + AddressBits'(ahead);

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      valid_while_not_empty: assert (valid == (count != '0));
      ready_while_not_full: assert (ready == (count != (AddressBits + 1)'(Depth)));
      // What induction needs: where the chosen entry lies.
      pointers_agree_with_count: assert (u_fifo.write_q - u_fifo.read_q == count);
    end
  end

  for (genvar s = 0; s < (Width + SliceBits - 1) / SliceBits; s++) begin : gen_slice
    localparam int unsigned First = SliceBits * s;
    localparam int unsigned Bits = (Width - First > SliceBits) ? SliceBits : Width - First;

    logic [Bits-1:0] entry;
    logic lies;
    assign entry = u_fifo.gen_slice[s].memory[place];
    if (!Ends) begin : gen_all
      assign lies = entry == value[First+:Bits];
    end else if (s == 0) begin : gen_first
      assign lies = entry[0] == value[0];
    end else begin : gen_last
      assign lies = entry[Bits-1] == value[1];
    end

    always_ff @(posedge clk_i) begin
      if (rst_ni) begin
        copy_follows_the_pointer: assert (u_fifo.gen_slice[s].place == AddressBits'(u_fifo.read_q));
        chosen_lies_where_it_was_written: assert (!chosen || lies);
      end
    end
  end

endmodule
