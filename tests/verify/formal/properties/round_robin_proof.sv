// moesaic_round_robin: one grant at a time, only to a request, always one if there is a request; a request that stays is served before
// any other has been served twice, that is within Requests grants.
module round_robin_proof #(
    parameter int unsigned Requests = 4,
    localparam int unsigned CountBits = $clog2(Requests + 1)
) (
    input logic                clk_i,
    input logic                rst_ni,
    input logic [Requests-1:0] request_i,
    input logic                take_i
);

  logic [Requests-1:0] grant;

  reset_assumed u_reset (.clk_i, .rst_ni);

  moesaic_round_robin #(
      .Requests(Requests)
  ) u_arbiter (
      .clk_i,
      .rst_ni,
      .request_i,
      .take_i,
      .grant_o(grant)
  );

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      mutual_exclusion: assert ((grant & (grant - 1'b1)) == '0);
      serves_only_requests: assert ((grant & ~request_i) == '0);
      never_idle_before_a_request: assert ((grant == '0) == (request_i == '0));
    end
  end

  for (genvar r = 0; r < Requests; r++) begin : gen_request
    logic [CountBits-1:0] passed_q;  // grants to others since this one asked without a break

    always_ff @(posedge clk_i) begin
      if (!request_i[r] || (grant[r] && take_i)) passed_q <= '0;
      else if (take_i) passed_q <= passed_q + 1'b1;
      if (!rst_ni) passed_q <= '0;
      if (rst_ni) begin
        served_within_a_round: assert (passed_q < CountBits'(Requests));
        waits_for_all_others: cover (passed_q == CountBits'(Requests - 1));
      end
    end
  end

endmodule
