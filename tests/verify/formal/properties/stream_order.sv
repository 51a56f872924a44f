// The order of a stream, by one entry that the solver chooses: it leaves behind exactly those that entered before it, unchanged.
// Because any entry may be the chosen one, all of them do. What is counted: at most Most entries are inside, and none leaves before it
// entered.
module stream_order #(
    parameter int unsigned Width = 1,
    parameter int unsigned Most = 2,
    localparam int unsigned CountBits = $clog2(Most + 1)
) (
    input  logic                 clk_i,
    input  logic                 rst_ni,
    input  logic                 choose_i,        // the entry that enters in this cycle, if none is chosen yet
    input  logic                 enter_i,
    input  logic [Width-1:0]     entered_i,
    input  logic                 leave_i,
    input  logic [Width-1:0]     left_i,
    output logic [CountBits-1:0] inside_o,
    output logic                 chosen_o,        // is inside
    output logic [CountBits-1:0] ahead_o,         // entries that leave before the chosen one
    output logic [Width-1:0]     value_o          // of the chosen one
);

  logic [CountBits-1:0] inside_q, ahead_q;
  logic chosen_q, was_chosen_q;
  logic [Width-1:0] value_q;

  assign inside_o = inside_q;
  assign chosen_o = chosen_q;
  assign ahead_o  = ahead_q;
  assign value_o  = value_q;

  always_ff @(posedge clk_i) begin
    inside_q <= inside_q + CountBits'(enter_i) - CountBits'(leave_i);
    if (chosen_q && leave_i) begin
      ahead_q <= ahead_q - CountBits'(1);
      if (ahead_q == '0) chosen_q <= 1'b0;
    end
    if (!was_chosen_q && choose_i && enter_i) begin
      was_chosen_q <= 1'b1;
      chosen_q     <= 1'b1;
      ahead_q      <= inside_q - CountBits'(leave_i);
      value_q      <= entered_i;
    end
    if (!rst_ni) begin
      inside_q     <= '0;
      chosen_q     <= 1'b0;
      was_chosen_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      leaves_only_what_entered: assert (!leave_i || inside_q != '0);
      holds_no_more_than_it_can: assert (inside_q <= CountBits'(Most));
      chosen_is_one_of_those_inside: assert (!chosen_q || (was_chosen_q && ahead_q < inside_q));
      leaves_in_order_and_unchanged: assert (!(chosen_q && ahead_q == '0 && leave_i) || left_i == value_q);
      chosen_one_leaves: cover (chosen_q && ahead_q == '0 && leave_i);
      is_full: cover (inside_q == CountBits'(Most));
    end
  end

endmodule
