// Joins a row of values with its place, weighs it by the router score, adds the old residual, and writes it.
//
// One row per cycle goes to act, or to weight for values; keys take one write for every TileDepth columns. finished_o is
// high in the cycle after the last write of the product was accepted.
module result_writer #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth = 4
) (
    input  logic                                   clk_i,
    input  logic                                   rst_ni,
    // the instruction, stable while it executes
    input  logic [2:0]                             destination_i,
    input  logic                                   scatter_i,
    input  logic [$clog2(TileColumns):0]           tail_columns_i,
    // values
    input  logic                                   value_valid_i,
    output logic                                   value_ready_o,
    input  logic [TileColumns-1:0][15:0]           value_i,
    // their places
    input  logic                                   place_valid_i,
    output logic                                   place_ready_o,
    input  logic [31:0]                            address_i,
    input  logic                                   half_i,
    input  logic [$clog2(TileColumns)-1:0]         lane_i,
    input  logic [15:0]                            score_i,
    input  logic                                   tail_i,
    input  logic                                   final_i,
    input  logic [TileColumns-1:0][15:0]           old_i,
    // activation memory
    output logic                                   act_wr_valid_o,
    input  logic                                   act_wr_ready_i,
    output logic [31:0]                            act_wr_address_o,
    output logic [16*TileColumns-1:0]              act_wr_data_o,
    output logic [2*TileColumns-1:0]               act_wr_strobe_o,
    // weight memory
    output logic                                   weight_wr_valid_o,
    input  logic                                   weight_wr_ready_i,
    output logic [31:0]                            weight_wr_address_o,
    output logic [8*TileColumns*TileDepth-1:0]     weight_wr_data_o,
    output logic [TileColumns*TileDepth-1:0]       weight_wr_strobe_o,
    output logic                                   finished_o
);

  localparam int unsigned ColumnShift = $clog2(TileColumns);
  localparam int unsigned DepthShift = $clog2(TileDepth);
  localparam int unsigned Groups = TileColumns / TileDepth;
  localparam int unsigned GroupBits = (Groups > 1) ? $clog2(Groups) : 1;

  logic to_keys, to_values, to_bytes, residual, weigh;

  assign to_keys = destination_i == 3'(isa_pkg::DESTINATION_KEYS);
  assign to_values = destination_i == 3'(isa_pkg::DESTINATION_VALUES);
  assign to_bytes = destination_i == 3'(isa_pkg::DESTINATION_INT8);
  assign residual = destination_i == 3'(isa_pkg::DESTINATION_RESIDUAL);
  assign weigh = residual && scatter_i;

  // --- stages 0 to 2: weigh, round, add; all advance together ---

  typedef struct packed {
    logic [31:0] address;
    logic half;
    logic [ColumnShift-1:0] lane;
    logic tail;
    logic final_row;
  } place_t;

  logic [2:0] valid_q;
  place_t place_0_q, place_1_q, place_2_q;
  logic [TileColumns-1:0][15:0] old_0_q, old_1_q, update_q, row_q;
  logic [TileColumns-1:0][32:0] product_q;
  logic advance, row_done;

  assign advance = !valid_q[2] || row_done;
  assign value_ready_o = advance && place_valid_i;
  assign place_ready_o = advance && value_valid_i;

  always_ff @(posedge clk_i) begin
    if (advance) begin
      valid_q <= {valid_q[1:0], value_valid_i && place_valid_i};
      place_0_q <= {address_i, half_i, lane_i, tail_i, final_i};
      place_1_q <= place_0_q;
      place_2_q <= place_1_q;
      old_0_q <= residual ? old_i : '0;
      old_1_q <= old_0_q;
    end
    if (!rst_ni) valid_q <= '0;
  end

  for (genvar c = 0; c < TileColumns; c++) begin : gen_lane
    logic signed [32:0] product;
    logic signed [16:0] added;

    // Unweighed values pass as products by 2**16.
    assign product = $signed(value_i[c]) * $signed({1'b0, score_i});
    assign added = $signed(old_1_q[c]) + $signed(update_q[c]);

    always_ff @(posedge clk_i) begin
      if (advance) begin
        product_q[c] <= weigh ? product : {value_i[c][15], value_i[c], 16'h0};
        update_q[c] <= 16'((product_q[c] + 33'h8000) >> 16);
        if (added[16] != added[15]) row_q[c] <= {added[16], {15{~added[16]}}};
        else row_q[c] <= added[15:0];
      end
    end
  end

  // --- the write ---

  logic [GroupBits-1:0] group_q;
  logic [ColumnShift:0] columns;
  logic [TileColumns-1:0] column_valid;
  logic [TileColumns-1:0][7:0] bytes;
  logic [TileDepth-1:0][7:0] group_bytes;
  logic [TileDepth-1:0] group_valid;
  logic last_group, accepted;
  logic [ColumnShift:0] group_column;  // first column of the group

  assign columns = place_2_q.tail ? tail_columns_i : (ColumnShift + 1)'(TileColumns);
  assign group_column = (ColumnShift + 1)'(group_q) << DepthShift;
  assign last_group = !to_keys || group_column + (ColumnShift + 1)'(TileDepth) >= columns;
  assign accepted = (act_wr_valid_o && act_wr_ready_i) || (weight_wr_valid_o && weight_wr_ready_i);
  assign row_done = accepted && last_group;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) group_q <= '0;
    else if (accepted) group_q <= last_group ? '0 : group_q + 1'b1;
    finished_o <= rst_ni && row_done && place_2_q.final_row;
  end

  always_comb begin
    for (int c = 0; c < TileColumns; c++) begin
      column_valid[c] = c < 32'(columns);
      if (row_q[c][15:7] == '0 || row_q[c][15:7] == '1) bytes[c] = row_q[c][7:0];
      else bytes[c] = {row_q[c][15], {7{~row_q[c][15]}}};
    end
  end

  always_comb begin
    for (int i = 0; i < TileDepth; i++) begin
      group_bytes[i] = bytes[group_column[ColumnShift-1:0]+ColumnShift'(i)];
      group_valid[i] = column_valid[group_column[ColumnShift-1:0]+ColumnShift'(i)];
    end
  end

  assign act_wr_valid_o = valid_q[2] && !to_keys && !to_values;
  assign act_wr_address_o = place_2_q.address;
  assign act_wr_data_o = to_bytes ? {2{bytes}} : row_q;

  always_comb begin
    act_wr_strobe_o = place_2_q.half ? {column_valid, {TileColumns{1'b0}}} : {{TileColumns{1'b0}}, column_valid};
    if (!to_bytes) begin
      for (int c = 0; c < TileColumns; c++) act_wr_strobe_o[2*c+:2] = {2{column_valid[c]}};
    end
  end

  assign weight_wr_valid_o = valid_q[2] && (to_keys || to_values);
  assign weight_wr_address_o = place_2_q.address + (to_keys ? 32'(group_q) : '0);

  // Keys: the group's bytes at lane * TileDepth. Values: every column's byte at column * TileDepth + lane.
  always_comb begin
    for (int c = 0; c < TileColumns; c++) begin
      for (int i = 0; i < TileDepth; i++) begin
        if (to_keys) begin
          weight_wr_data_o[8*(c*TileDepth+i)+:8] = group_bytes[i];
          weight_wr_strobe_o[c*TileDepth+i] = group_valid[i] && place_2_q.lane == ColumnShift'(c);
        end else begin
          weight_wr_data_o[8*(c*TileDepth+i)+:8] = bytes[c];
          weight_wr_strobe_o[c*TileDepth+i] = column_valid[c] && place_2_q.lane == ColumnShift'(i);
        end
      end
    end
  end

endmodule
