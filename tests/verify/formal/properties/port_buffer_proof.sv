// moesaic_port_buffer: each port takes, in order, exactly the entries that want it; an entry leaves when its last port has taken it.
module port_buffer_proof #(
    parameter int unsigned Width = 8,
    parameter int unsigned Ports = 3
) (
    input logic             clk_i,
    input logic             rst_ni,
    input logic             valid_i,
    input logic [Ports-1:0] ports_i,
    input logic [Width-1:0] data_i,
    input logic [Ports-1:0] ready_i,
    input logic [Ports:0]   choose_i
);

  logic ready, leaves, spare;
  logic [Ports-1:0] valid, spare_ports;
  logic [Width-1:0] data, spare_data;

  reset_assumed u_reset (.clk_i, .rst_ni);

  always_comb an_entry_wants_a_port: assume (!valid_i || ports_i != '0);

  moesaic_port_buffer #(
      .Width(Width),
      .Ports(Ports)
  ) u_buffer (
      .clk_i,
      .rst_ni,
      .valid_i,
      .ready_o     (ready),
      .ports_i,
      .data_i,
      .port_valid_o(valid),
      .port_ready_i(ready_i),
      .data_o      (data),
      .leaves_o    (leaves)
  );

  assign spare       = u_buffer.spare_valid_q;
  assign spare_ports = u_buffer.spare_ports_q;
  assign spare_data  = u_buffer.spare_q;

  for (genvar p = 0; p <= Ports; p++) begin : gen_stream
    // The last stream is that of whole entries.
    logic enter, leave, chosen, shown, spare_too;
    logic [1:0] count, ahead;
    logic [Width-1:0] value;

    if (p == Ports) begin : gen_entries
      assign enter     = valid_i && ready;
      assign leave     = leaves;
      assign shown     = valid != '0;
      assign spare_too = spare;
    end else begin : gen_port
      assign enter     = valid_i && ready && ports_i[p];
      assign leave     = valid[p] && ready_i[p];
      assign shown     = valid[p];
      assign spare_too = spare && spare_ports[p];
    end

    stream_order #(
        .Width(Width),
        .Most (2)
    ) u_order (
        .clk_i,
        .rst_ni,
        .choose_i (choose_i[p]),
        .enter_i  (enter),
        .entered_i(data_i),
        .leave_i  (leave),
        .left_i   (data),
        .inside_o (count),
        .chosen_o (chosen),
        .ahead_o  (ahead),
        .value_o  (value)
    );

    always_ff @(posedge clk_i) begin
      if (rst_ni) begin
        entries_that_want_the_port: assert (count == 2'(shown) + 2'(spare_too));
        chosen_lies_in_its_register: assert (!chosen || (shown && ahead == '0 ? data : spare_data) == value);
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      ready_while_not_full: assert (ready == !spare);
      spare_wants_a_port: assert (!spare || spare_ports != '0);
      some_taken_some_not: cover (valid != '0 && valid != '1 && spare);
    end
  end

endmodule
