// moesaic_reciprocal: mantissa and bit length of every value below 2**Width.
//
// Of each stage: the next remainder is 4 r - b d and the next quotient 4 q + b, with b the two bits found and d the divisor, and the
// remainder stays below d, or equal for a power of two. From r = 2**(Width - 1) and q = 0 on, q d + r = 2**(Width - 1 + 2 * stage) follows
// (arithmetic_lemmas.py). At the last stage the quotient is therefore the floor of 2**(Width + 15) / d; for a power of two, whose
// quotient would be 2**16, it is 65,535.
module reciprocal_proof #(
    parameter int unsigned Width = 32,
    localparam int unsigned Stages = 8,
    localparam int unsigned Wide = Width + 3
) (
    input logic             clk_i,
    input logic             rst_ni,
    input logic             valid_i,
    input logic [Width-1:0] value_i
);

  logic valid;
  logic [15:0] mantissa;
  logic [5:0] bits;

  reset_assumed u_reset (.clk_i, .rst_ni);

  moesaic_reciprocal #(
      .Width(Width)
  ) u_reciprocal (
      .clk_i,
      .rst_ni,
      .valid_i,
      .value_i,
      .valid_o   (valid),
      .mantissa_o(mantissa),
      .bits_o    (bits)
  );

  logic [Stages+1:0] valid_q;
  logic [Stages:0][Width-1:0] value_q;
  logic [Width-1:0] first_value_q;

  always_ff @(posedge clk_i) begin
    valid_q       <= {valid_q[Stages:0], valid_i};
    first_value_q <= value_i;
    value_q[0]    <= first_value_q;
    for (int s = 0; s < int'(Stages); s++) value_q[s+1] <= value_q[s];
    if (!rst_ni) valid_q <= '0;
    if (rst_ni) begin
      ten_cycles: assert (valid == valid_q[Stages+1] && u_reciprocal.valid_q == valid_q);
      zero_gives_zero: assert (!valid || bits != '0 || (mantissa == '0 && value_q[Stages] == '0));
      shows_the_quotient: assert (!valid || bits == '0 || mantissa == u_reciprocal.quotient_q[Stages]);
      largest: cover (valid && value_q[Stages] == '1);
      zero: cover (valid && value_q[Stages] == '0);
      first_value_agrees: assert (!valid_q[0] || (u_reciprocal.value_q == first_value_q
          && (Width + 1)'(first_value_q) >> u_reciprocal.value_bits_q == '0
          && (u_reciprocal.value_bits_q == '0
              || (Width + 1)'(first_value_q) >> (u_reciprocal.value_bits_q - 6'd1) == (Width + 1)'(1))));
    end
  end

  // The divisor is the value shifted, so that its top bit is set, and both go along unchanged.
  logic [Stages:0][Width-1:0] divisor_q;
  logic [Stages:0][5:0] bits_q;

  always_ff @(posedge clk_i) begin
    divisor_q <= {divisor_q[Stages-1:0], u_reciprocal.value_q << (6'(Width) - u_reciprocal.value_bits_q)};
    bits_q    <= {bits_q[Stages-1:0], u_reciprocal.value_bits_q};
  end

  for (genvar s = 0; s <= Stages; s++) begin : gen_stage
    logic [Width-1:0] divisor, remainder;

    if (s == 0) begin : gen_first
      always_ff @(posedge clk_i) begin
        if (rst_ni && valid_q[1]) begin
          starts_from_one: assert (remainder == Width'(1) << (Width - 1) && u_reciprocal.quotient_q[0] == '0);
        end
      end
    end else begin : gen_next
      logic [Wide-1:0] found;
      logic [1:0] bits_found;
      assign bits_found = u_reciprocal.quotient[s-1][1:0];
      assign found = (bits_found[1] ? Wide'(u_reciprocal.divisor_q[s-1]) << 1 : Wide'(0))
          + (bits_found[0] ? Wide'(u_reciprocal.divisor_q[s-1]) : Wide'(0));
      always_ff @(posedge clk_i) begin
        if (rst_ni && valid_q[s] && u_reciprocal.bits_q[s-1] != '0) begin
          next_remainder: assert (Wide'(u_reciprocal.remainder[s-1]) + found == Wide'(u_reciprocal.remainder_q[s-1]) << 2);
          next_quotient: assert (u_reciprocal.quotient[s-1] == {u_reciprocal.quotient_q[s-1][13:0], bits_found});
        end
      end
    end

    assign divisor   = u_reciprocal.divisor_q[s];
    assign remainder = u_reciprocal.remainder_q[s];

    always_ff @(posedge clk_i) begin
      if (rst_ni && valid_q[s+1]) begin
        length_zero_is_zero: assert ((bits_q[s] == '0) == (value_q[s] == '0));
        goes_along: assert (divisor == divisor_q[s] && u_reciprocal.bits_q[s] == bits_q[s]);
        if (u_reciprocal.bits_q[s] != '0) begin
          divisor_is_normal: assert (divisor[Width-1]);
          remainder_is_small: assert (remainder <= divisor && (divisor == Width'(1) << (Width - 1) || remainder < divisor));
          power_of_two: assert (divisor != Width'(1) << (Width - 1)
              || (remainder == divisor && 17'(u_reciprocal.quotient_q[s]) == (17'd1 << (2 * s)) - 17'd1));
          quotient_has_its_bits: assert (17'(u_reciprocal.quotient_q[s]) >> (2 * s) == '0);
        end
      end
    end
  end

endmodule
