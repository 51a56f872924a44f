// Two-entry stream register in front of several ports: an entry waits until each port that it wants has taken it, in any order,
// and leaves with the last one. Neither ready nor payload passes combinationally; one entry per cycle.
//
// A memory decides late in a cycle whom it serves: what asks it comes from registers here, and its answer moves nothing else. It
// does enable the payload, so that one of more than some hundred bits belongs into a payload_pair beside this. The payload is not
// reset: it means something only with an entry.
module moesaic_port_buffer #(
    parameter int unsigned Width = 8,
    parameter int unsigned Ports = 2
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             valid_i,
    output logic             ready_o,
    input  logic [Ports-1:0] ports_i,       // that the entry wants, at least one
    input  logic [Width-1:0] data_i,
    output logic [Ports-1:0] port_valid_o,  // that have not taken the entry yet
    input  logic [Ports-1:0] port_ready_i,
    output logic [Width-1:0] data_o,
    output logic             leaves_o       // data_o is an entry, and its last port takes it in this cycle
);

  logic spare_valid_q, advance;
  logic [Ports-1:0] ports_q, spare_ports_q;
  logic [Width-1:0] data_q, spare_q;

  assign ready_o      = !spare_valid_q;
  assign port_valid_o = ports_q;
  assign data_o       = data_q;
  assign advance      = (ports_q & ~port_ready_i) == '0;
  assign leaves_o     = ports_q != '0 && advance;

  always_ff @(posedge clk_i) begin
    if (!spare_valid_q) begin
      spare_ports_q <= ports_i;
      spare_q       <= data_i;
    end
    if (advance) begin
      ports_q       <= spare_valid_q ? spare_ports_q : ports_i & {Ports{valid_i}};
      data_q        <= spare_valid_q ? spare_q : data_i;
      spare_valid_q <= 1'b0;
    end else begin
      ports_q <= ports_q & ~port_ready_i;
      if (valid_i) spare_valid_q <= 1'b1;
    end
    if (!rst_ni) begin
      spare_valid_q <= 1'b0;
      ports_q       <= '0;
    end
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      entry_wants_a_port: assert (!valid_i || ports_i != '0);
      spare_waits_behind_an_entry: assert (!spare_valid_q || ports_q != '0);
    end
  end

  for (genvar p = 0; p < Ports; p++) begin : gen_port_rules
    moesaic_handshake_rules #(
        .Width(Width)
    ) u_rules (
        .clk_i,
        .rst_ni,
        .valid_i  (port_valid_o[p]),
        .ready_i  (port_ready_i[p]),
        .payload_i(data_o)
    );
  end
`endif

endmodule
