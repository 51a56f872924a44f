// moesaic_payload_pair: data_o is the older of the two entries' payloads, in every slice.
module payload_pair_proof #(
    parameter int unsigned Width = 8,
    localparam int unsigned SliceBits = (Width > 256) ? 256 : Width
) (
    input logic             clk_i,
    input logic             rst_ni,
    input logic             enters_i,
    input logic             leaves_i,
    input logic [Width-1:0] data_i,
    input logic             choose_i
);

  logic chosen;
  logic [Width-1:0] data, value;
  logic [1:0] count, ahead;

  reset_assumed u_reset (.clk_i, .rst_ni);

  always_comb begin
    enters_with_room: assume (!enters_i || count != 2'd2);
    leaves_what_is_there: assume (!leaves_i || count != '0);
  end

  moesaic_payload_pair #(
      .Width(Width)
  ) u_pair (
      .clk_i,
      .rst_ni,
      .enters_i,
      .leaves_i,
      .data_i,
      .data_o(data)
  );

  stream_order #(
      .Width(Width),
      .Most (2)
  ) u_order (
      .clk_i,
      .rst_ni,
      .choose_i,
      .enter_i  (enters_i),
      .entered_i(data_i),
      .leave_i  (leaves_i),
      .left_i   (data),
      .inside_o (count),
      .chosen_o (chosen),
      .ahead_o  (ahead),
      .value_o  (value)
  );

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      counts_agree: assert (u_pair.entries_q == count && (u_pair.write_q ^ u_pair.read_q) == count[0]);
    end
  end

  for (genvar s = 0; s < (Width + SliceBits - 1) / SliceBits; s++) begin : gen_slice
    localparam int unsigned First = SliceBits * s;
    localparam int unsigned Bits = (Width - First > SliceBits) ? SliceBits : Width - First;
    logic second;

    assign second = u_pair.read_q ^ ahead[0];

    always_ff @(posedge clk_i) begin
      if (rst_ni) begin
        copies_agree: assert (u_pair.gen_slice[s].load_0 == (count != 2'd2 && !u_pair.write_q)
            && u_pair.gen_slice[s].load_1 == (count != 2'd2 && u_pair.write_q) && u_pair.gen_slice[s].second == u_pair.read_q);
        chosen_lies_in_its_register: assert (!chosen
            || (second ? u_pair.gen_slice[s].data_1_q : u_pair.gen_slice[s].data_0_q) == value[First+:Bits]);
      end
    end
  end

endmodule
