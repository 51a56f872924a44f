// Floor of the square root of 32 bits, four bits of the radicand per cycle: the root follows 8 cycles after the radicand was
// taken, and is valid for one cycle.
module moesaic_isqrt (
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic        valid_i,
    output logic        ready_o,
    input  logic [31:0] radicand_i,
    output logic        valid_o,
    output logic [15:0] root_o
);

  logic        busy_q, valid_q;
  logic [2:0]  step_q;
  logic [31:0] radicand_q;
  logic [15:0] root_q, root;
  // remainder <= 2 * root < 2**17 before a step
  logic [16:0] remainder_q, remainder;
  logic [18:0] extended, trial;

  assign ready_o = !busy_q;
  assign valid_o = valid_q;
  assign root_o  = root_q;

  // two bits of the root
  always_comb begin
    root      = root_q;
    remainder = remainder_q;
    extended  = '0;
    trial     = '0;
    for (int b = 0; b < 2; b++) begin
      extended  = {remainder, radicand_q[30-2*b+:2]};
      trial     = {1'b0, root, 2'b01};
      root      = {root[14:0], extended >= trial};
      remainder = 17'(extended >= trial ? extended - trial : extended);
    end
  end

  always_ff @(posedge clk_i) begin
    valid_q <= busy_q && step_q == 3'd7;
    if (busy_q) begin
      radicand_q  <= radicand_q << 4;
      root_q      <= root;
      remainder_q <= remainder;
      step_q      <= step_q + 3'd1;
      if (step_q == 3'd7) busy_q <= 1'b0;
    end else if (valid_i) begin
      busy_q      <= 1'b1;
      step_q      <= '0;
      radicand_q  <= radicand_i;
      root_q      <= '0;
      remainder_q <= '0;
    end
    if (!rst_ni) begin
      busy_q  <= 1'b0;
      valid_q <= 1'b0;
    end
  end

endmodule
