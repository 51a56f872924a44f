// Floor of the square root of 32 bits, two bits of the radicand per cycle: the root follows 16 cycles after the radicand was
// taken, and is valid for one cycle.
module isqrt (
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic        valid_i,
    output logic        ready_o,
    input  logic [31:0] radicand_i,
    output logic        valid_o,
    output logic [15:0] root_o
);

  logic        busy_q, valid_q;
  logic [3:0]  step_q;
  logic [31:0] radicand_q;
  logic [15:0] root_q;
  // remainder <= 2 * root < 2**17 before a step
  logic [16:0] remainder_q;
  logic [18:0] extended, trial;
  logic        fits;

  assign extended = {remainder_q, radicand_q[31:30]};
  assign trial    = {1'b0, root_q, 2'b01};
  assign fits     = extended >= trial;

  assign ready_o = !busy_q;
  assign valid_o = valid_q;
  assign root_o  = root_q;

  always_ff @(posedge clk_i) begin
    valid_q <= busy_q && step_q == 4'd15;
    if (busy_q) begin
      radicand_q  <= radicand_q << 2;
      root_q      <= {root_q[14:0], fits};
      remainder_q <= 17'(fits ? extended - trial : extended);
      step_q      <= step_q + 4'd1;
      if (step_q == 4'd15) busy_q <= 1'b0;
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
