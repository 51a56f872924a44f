// moesaic_packed_dot: both dot products from one sum, for all operands, in two parts.
//
// 1. (w1 * 2**18 + w0) * a = (w1 * a) * 2**18 + w0 * a in integers, and it fits 45 bits (arithmetic_lemmas.py, over all operands). 2. Here: of
// products cut free, each of them high * 2**18 + low with both in -127 * 128 .. 128 * 128, the cascade keeps the sums apart.
module packed_dot_proof #(
    parameter int unsigned TileDepth = 8
) (
    input logic                              clk_i,
    input logic [TileDepth-1:0][7:0]         a_i,
    input logic [TileDepth-1:0][26:0]        weights_i,
    input logic [TileDepth-1:0][15:0]        low_i,     // the products, as the slices hold them in this cycle
    input logic [TileDepth-1:0][15:0]        high_i
);

  logic signed [36:0] sum;
  logic signed [17:0] field;
  logic signed [18:0] dot_0, dot_1;
  logic [TileDepth-1:0][18:0] low_q, high_q;
  logic [3:0] age_q = 4'd0;

  moesaic_packed_dot #(
      .TileDepth(TileDepth)
  ) u_dot (
      .clk_i,
      .a_i,
      .weights_i,
      .sum_o(sum)
  );

  assign field = sum[17:0];
  assign dot_0 = 19'(field) + 19'sd1;
  assign dot_1 = signed'(sum[36:18]) + 19'(sum[17]);

  for (genvar k = 0; k < TileDepth; k++) begin : gen_product
    logic signed [15:0] low, high;
    logic signed [18:0] low_before, high_before;
    assign low  = low_i[k];
    assign high = high_i[k];

    if (k == 0) begin : gen_first
      assign low_before  = '0;
      assign high_before = '0;
    end else begin : gen_next
      assign low_before  = low_q[k-1];
      assign high_before = high_q[k-1];
    end

    always_comb begin
      products_in_range: assume (low >= -16'sd16256 && low <= 16'sd16384 && high >= -16'sd16256 && high <= 16'sd16384);
      product_of_two: assume (signed'(u_dot.gen_dsp[k].u_slice.product_q) == (45'(high) <<< 18) + 45'(low));
    end

    always_ff @(posedge clk_i) begin
      low_q[k]  <= low_before + 19'(low);
      high_q[k] <= high_before + 19'(high);
      if (age_q > 4'(k + 1)) begin
        sums_of_both: assert (signed'(u_dot.sums[k]) == (48'(signed'(high_q[k])) <<< 18) + 48'(signed'(low_q[k])) - 48'sd1);
        sums_in_range: assert (signed'(low_q[k]) >= -19'sd16256 * (k + 1) && signed'(low_q[k]) <= 19'sd16384 * (k + 1));
        high_in_range: assert (signed'(high_q[k]) >= -19'sd16256 * (k + 1) && signed'(high_q[k]) <= 19'sd16384 * (k + 1));
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (age_q != 4'(TileDepth + 2)) age_q <= age_q + 4'd1;
    starts_at_minus_one: assert (age_q == 4'd0 || u_dot.gen_dsp[0].u_slice.c_q == '1);
    if (age_q == 4'(TileDepth + 2)) begin
      low_dot: assert (dot_0 == signed'(low_q[TileDepth-1]));
      high_dot: assert (dot_1 == signed'(high_q[TileDepth-1]));
      largest: cover (dot_0 == 19'sd16384 * int'(TileDepth) && dot_1 == 19'sd16384 * int'(TileDepth));
      smallest: cover (dot_0 == -19'sd16256 * int'(TileDepth) && dot_1 == -19'sd16256 * int'(TileDepth));
    end
  end

endmodule
