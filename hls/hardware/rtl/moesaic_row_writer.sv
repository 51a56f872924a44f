// Writes rows of int8 results to the activation memory, Groups groups of TileColumns bytes per write, through a queue.
//
// Each data_i is one write; the last of a row may hold fewer groups. With one group, rows start at any half word and a write
// fills half a word; with two, rows start at whole words. last_step_i and last_groups_i describe the rows and are stable from
// the cycle after start_i on. active_o falls with the grant of the last write.
module moesaic_row_writer #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned Groups      = 1,
    parameter int unsigned Depth       = 16
) (
    input  logic                             clk_i,
    input  logic                             rst_ni,
    input  logic                             start_i,
    input  logic [15:0]                      rows_i,
    input  logic [31:0]                      address_i,    // bytes
    input  logic [31:0]                      pitch_i,      // bytes
    input  logic [15:0]                      last_step_i,  // index of a row's last write
    input  logic [Groups-1:0]                last_groups_i,
    input  logic                             valid_i,
    output logic                             ready_o,
    input  logic [8*TileColumns*Groups-1:0]  data_i,
    output logic                             active_o,
    output logic                             granted_o,  // a group was written in the cycle before

    output logic                             act_wr_valid_o,
    input  logic                             act_wr_ready_i,
    output logic [31:0]                      act_wr_address_o,
    output logic [16*TileColumns-1:0]        act_wr_data_o,
    output logic [2*TileColumns-1:0]         act_wr_strobe_o
);

  localparam int unsigned HalfShift = $clog2(TileColumns);

  logic active_q, row_end, last, taken, write_last, queue_valid, write_ready, grant;
  logic [15:0] rows_q, step_q;
  logic [31:0] half_q, next_row;    // address in half words
  logic [8*TileColumns*Groups-1:0] data, write_data;
  logic [1:0] halves, write_halves;

  moesaic_fifo #(
      .Width($bits(data)),
      .Depth(Depth)
  ) u_queue (
      .clk_i,
      .rst_ni,
      .valid_i,
      .ready_o,
      .data_i,
      .valid_o(queue_valid),
      .ready_i(write_ready),
      .data_o (data)
  );

  // The memory decides late in a cycle whom it serves: its grant moves nothing but these.
  moesaic_skid_buffer #(
      .Width($bits({act_wr_address_o, write_halves, write_last}))
  ) u_write (
      .clk_i,
      .rst_ni,
      .valid_i(queue_valid),
      .ready_o(write_ready),
      .data_i ({half_q >> 1, halves, last}),
      .valid_o(act_wr_valid_o),
      .ready_i(act_wr_ready_i),
      .data_o ({act_wr_address_o, write_halves, write_last})
  );

  moesaic_payload_pair #(
      .Width($bits(data))
  ) u_data (
      .clk_i,
      .rst_ni,
      .enters_i(taken),
      .leaves_i(grant),
      .data_i  (data),
      .data_o  (write_data)
  );

  moesaic_row_address u_row (
      .clk_i,
      .start_i,
      .base_i   (address_i >> HalfShift),
      .pitch_i  (pitch_i >> HalfShift),
      .next_i   (taken && row_end),
      .next_o   (next_row)
  );

  assign active_o         = active_q;
  assign taken            = queue_valid && write_ready;
  assign grant            = act_wr_valid_o && act_wr_ready_i;
  assign row_end          = step_q == last_step_i;
  assign last             = row_end && rows_q == 16'd1;
  assign act_wr_strobe_o  = {{TileColumns{write_halves[1]}}, {TileColumns{write_halves[0]}}};

  if (Groups == 1) begin : gen_half
    assign act_wr_data_o = {2{write_data}};
    assign halves        = {half_q[0], !half_q[0]};
  end else begin : gen_whole
    assign act_wr_data_o = write_data;
    assign halves        = row_end ? last_groups_i : 2'b11;
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      rows_q <= rows_i;
      step_q <= '0;
      half_q <= address_i >> HalfShift;
    end else if (taken) begin
      step_q <= row_end ? '0 : step_q + 16'd1;
      half_q <= row_end ? next_row : half_q + 32'(Groups);
      if (row_end) rows_q <= rows_q - 16'd1;
    end
    active_q  <= rst_ni && (start_i ? rows_i != '0 : active_q && !(grant && write_last));
    granted_o <= rst_ni && grant;
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      rows_never_wrap: assert (rows_q != '0 || !taken);
      last_write_has_a_group: assert (last_groups_i[0] || !taken);
    end
  end
`endif

endmodule
