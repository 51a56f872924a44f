// moesaic_skid_buffer: two entries, in order, once, unchanged; valid while anything is inside, ready while there is room.
module skid_buffer_proof #(
    parameter int unsigned Width = 8
) (
    input logic             clk_i,
    input logic             rst_ni,
    input logic             valid_i,
    input logic [Width-1:0] data_i,
    input logic             ready_i,
    input logic             choose_i
);

  logic ready, valid, chosen;
  logic [Width-1:0] data, value;
  logic [1:0] count, ahead;

  reset_assumed u_reset (.clk_i, .rst_ni);

  moesaic_skid_buffer #(
      .Width(Width)
  ) u_skid (
      .clk_i,
      .rst_ni,
      .valid_i,
      .ready_o(ready),
      .data_i,
      .valid_o(valid),
      .ready_i,
      .data_o (data)
  );

  stream_order #(
      .Width(Width),
      .Most (2)
  ) u_order (
      .clk_i,
      .rst_ni,
      .choose_i,
      .enter_i  (valid_i && ready),
      .entered_i(data_i),
      .leave_i  (valid && ready_i),
      .left_i   (data),
      .inside_o (count),
      .chosen_o (chosen),
      .ahead_o  (ahead),
      .value_o  (value)
  );

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      valid_while_not_empty: assert (valid == (count != '0));
      ready_while_not_full: assert (ready == (count != 2'd2));
      both_registers_count: assert (count == 2'(valid) + 2'(u_skid.u_buffer.spare_valid_q));
      spare_is_an_entry_behind_another: assert (!u_skid.u_buffer.spare_valid_q || (valid && u_skid.u_buffer.spare_ports_q));
      chosen_lies_in_its_register: assert (!chosen || (ahead == '0 ? data : u_skid.u_buffer.spare_q) == value);
    end
  end

endmodule
