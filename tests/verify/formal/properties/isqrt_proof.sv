// moesaic_isqrt: the root of every radicand, 8 cycles after it was taken.
//
// square_q is the square of the root by the recursion (2 r + b)**2 = 4 r**2 + b (4 r + 1), which holds for all integers r and b of 0 or 1
// (arithmetic_lemmas.py). With the remainder x - r**2 in 0 .. 2 r, r is the floor of the square root of x: no multiplier is needed.
module isqrt_proof (
    input logic        clk_i,
    input logic        rst_ni,
    input logic        valid_i,
    input logic [31:0] radicand_i
);

  logic ready, valid;
  logic [15:0] root;

  reset_assumed u_reset (.clk_i, .rst_ni);

  moesaic_isqrt u_isqrt (
      .clk_i,
      .rst_ni,
      .valid_i,
      .ready_o(ready),
      .radicand_i,
      .valid_o(valid),
      .root_o (root)
  );

  logic [31:0] radicand_q, prefix_q;    // what was taken, and its bits that the root is of so far
  logic [31:0] square_q, square_1, square_2;
  logic [15:0] root_1;
  logic [3:0] steps_q;
  logic taken_q;

  assign root_1   = {u_isqrt.root_q[14:0], u_isqrt.root[1]};
  assign square_1 = 4 * square_q + (u_isqrt.root[1] ? 4 * 32'(u_isqrt.root_q) + 1 : 0);
  assign square_2 = 4 * square_1 + (u_isqrt.root[0] ? 4 * 32'(root_1) + 1 : 0);

  always_ff @(posedge clk_i) begin
    if (valid_i && ready) begin
      taken_q    <= 1'b1;
      radicand_q <= radicand_i;
      prefix_q   <= '0;
      square_q   <= '0;
      steps_q    <= '0;
    end else if (taken_q && steps_q != 4'd8) begin
      prefix_q <= {prefix_q[27:0], u_isqrt.radicand_q[31:28]};
      square_q <= square_2;
      steps_q  <= steps_q + 4'd1;
    end
    if (!rst_ni) taken_q <= 1'b0;
    if (rst_ni && taken_q) begin
      follows_in_eight_cycles: assert (valid == (steps_q == 4'd8) || (steps_q == 4'd8 && ready));
      ready_when_done: assert (ready == (steps_q == 4'd8));
      if (valid) begin
        remainder_is_what_is_left: assert (33'(square_q) + 33'(u_isqrt.remainder_q) == 33'(radicand_q));
        remainder_is_small: assert (u_isqrt.remainder_q <= {root, 1'b0});
      end
      // Step by step: bits of the radicand come in, the same holds for those that came.
      prefix_is_square_and_remainder: assert (33'(square_q) + 33'(u_isqrt.remainder_q) == 33'(prefix_q)
          && u_isqrt.remainder_q <= {u_isqrt.root_q, 1'b0});
      rest_is_to_come: assert (steps_q == 4'd8 || u_isqrt.radicand_q == (radicand_q << {steps_q, 2'b00}));
      came_so_far: assert (prefix_q == 32'(64'(radicand_q) >> (6'd32 - {steps_q, 2'b00})));
      root_has_as_many_bits: assert ((steps_q == 4'd8 || (u_isqrt.root_q >> {steps_q, 1'b0}) == '0)
          && (steps_q == 4'd8 || (square_q >> {steps_q, 2'b00}) == '0));
      steps_agree: assert (u_isqrt.busy_q == (steps_q != 4'd8) && (!u_isqrt.busy_q || 4'(u_isqrt.step_q) == steps_q));
      largest: cover (valid && radicand_q == '1);
    end
    if (rst_ni && !taken_q) nothing_before_it_is_asked: assert (!valid && !u_isqrt.busy_q);
  end

endmodule
