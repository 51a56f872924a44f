// Grants one of several requests, the next one after the last that was granted. The grant is combinational.
module moesaic_round_robin #(
    parameter int unsigned Requests = 3
) (
    input  logic                clk_i,
    input  logic                rst_ni,
    input  logic [Requests-1:0] request_i,
    input  logic                take_i,       // the grant is used
    output logic [Requests-1:0] grant_o       // one hot, or zero without a request
);

  logic [Requests-1:0] after_q;    // the requests after the last one granted
  logic [Requests-1:0] first, candidates;

  assign first      = request_i & after_q;
  assign candidates = first != '0 ? first : request_i;
  assign grant_o    = candidates & (~candidates + 1'b1);

  always_ff @(posedge clk_i) begin
    if (take_i && request_i != '0) after_q <= ~(grant_o | (grant_o - 1'b1));
    if (!rst_ni) after_q <= '0;
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      grants_one_of_the_requests: assert ((grant_o & ~request_i) == '0 && (grant_o & (grant_o - 1'b1)) == '0);
      grants_if_there_is_a_request: assert ((grant_o != '0) == (request_i != '0));
    end
  end

  // How often others were granted since a request stands.
  logic [Requests-1:0][$clog2(Requests + 1)-1:0] passed_q;
  logic [Requests-1:0] overdue;
  always_comb begin
    for (int r = 0; r < int'(Requests); r++)
      overdue[r] = request_i[r] && take_i && !grant_o[r] && 32'(passed_q[r]) + 32'd1 >= Requests;
  end
  always_ff @(posedge clk_i) begin
    for (int r = 0; r < int'(Requests); r++) begin
      if (!armed || !request_i[r] || (take_i && grant_o[r])) passed_q[r] <= '0;
      else if (take_i) passed_q[r] <= passed_q[r] + 1'b1;
    end
    if (armed) each_has_its_turn: assert (overdue == '0);
  end
`endif

endmodule
