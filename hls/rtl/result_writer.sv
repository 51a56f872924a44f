// Joins rows of values with their places, adds the old residual, and writes them.
//
// ActPorts rows per cycle go to act, each through its own port, or, as all of them lie in the same weight word, to weight for
// values; keys take one write for every TileDepth columns. finished_o is high in the cycle after the last write of a product
// was accepted. slot_o is the instruction of the writes of the cycle before.
module result_writer #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth = 4,
    parameter int unsigned ActPorts = 2
) (
    input  logic                                          clk_i,
    input  logic                                          rst_ni,
    // values
    input  logic                                          value_valid_i,
    output logic                                          value_ready_o,
    input  logic [ActPorts-1:0][TileColumns-1:0][15:0]    value_i,
    // their places
    input  logic                                          place_valid_i,
    output logic                                          place_ready_o,
    input  logic                                          slot_i,
    input  logic [2:0]                                    destination_i,
    input  logic [ActPorts-1:0]                           used_i,
    input  logic [ActPorts-1:0][31:0]                     address_i,
    input  logic [ActPorts-1:0]                           half_i,
    input  logic [$clog2(TileColumns)-1:0]                lane_i,
    input  logic [$clog2(TileColumns):0]                  columns_i,
    input  logic                                          final_i,
    input  logic [ActPorts-1:0][TileColumns-1:0][15:0]    old_i,
    // activation memory
    output logic [ActPorts-1:0]                           act_wr_valid_o,
    input  logic [ActPorts-1:0]                           act_wr_ready_i,
    output logic [ActPorts-1:0][31:0]                     act_wr_address_o,
    output logic [ActPorts-1:0][16*TileColumns-1:0]       act_wr_data_o,
    output logic [ActPorts-1:0][2*TileColumns-1:0]        act_wr_strobe_o,
    // weight memory
    output logic                                          weight_wr_valid_o,
    input  logic                                          weight_wr_ready_i,
    output logic [31:0]                                   weight_wr_address_o,
    output logic [8*TileColumns*TileDepth-1:0]            weight_wr_data_o,
    output logic [TileColumns*TileDepth-1:0]              weight_wr_strobe_o,
    output logic                                          finished_o,
    output logic                                          slot_o
);

  localparam int unsigned ColumnShift = $clog2(TileColumns);
  localparam int unsigned DepthShift = $clog2(TileDepth);
  localparam int unsigned Groups = TileColumns / TileDepth;
  localparam int unsigned GroupBits = (Groups > 1) ? $clog2(Groups) : 1;
  localparam int unsigned PortBits = $clog2(ActPorts);

  // --- add ---
  // The memories decide late in a cycle what they take: rows that come while others wait go to a spare register, so that
  // what feeds this module sees registers only.

  localparam int unsigned RowBits = 16 * TileColumns * ActPorts;
  localparam int unsigned PlaceBits = 35 * ActPorts + TileColumns + ColumnShift + GroupBits + 5;

  logic valid_q, spare_valid_q, accept, advance, rows_done, residual, to_act, weight_accepted;
  logic [TileColumns-1:0] column_used;
  logic [GroupBits-1:0] group_count;
  logic [ActPorts-1:0][TileColumns-1:0][15:0] row;
  logic [RowBits+PlaceBits-1:0] incoming, spare_q, next;

  assign value_ready_o = !spare_valid_q && place_valid_i;
  assign place_ready_o = !spare_valid_q && value_valid_i;
  assign accept = !spare_valid_q && value_valid_i && place_valid_i;
  assign advance = !valid_q || rows_done;
  assign residual = destination_i == 3'(isa_pkg::DESTINATION_RESIDUAL);
  assign to_act = destination_i != 3'(isa_pkg::DESTINATION_KEYS) && destination_i != 3'(isa_pkg::DESTINATION_VALUES);
  assign group_count = GroupBits'((columns_i - 1'b1) >> DepthShift);

  for (genvar c = 0; c < TileColumns; c++) begin : gen_column
    assign column_used[c] = (ColumnShift + 1)'(c) < columns_i;
  end

  for (genvar p = 0; p < ActPorts; p++) begin : gen_row
    for (genvar c = 0; c < TileColumns; c++) begin : gen_lane
      logic signed [16:0] added;

      assign added = 17'($signed(value_i[p][c])) + (residual ? 17'($signed(old_i[p][c])) : 17'sd0);
      assign row[p][c] = (added[16] != added[15]) ? {added[16], {15{~added[16]}}} : added[15:0];
    end
  end

  assign incoming = {
    row, address_i, half_i, used_i, used_i & {ActPorts{to_act}}, column_used, lane_i, group_count,
    destination_i == 3'(isa_pkg::DESTINATION_KEYS), destination_i == 3'(isa_pkg::DESTINATION_VALUES),
    destination_i == 3'(isa_pkg::DESTINATION_INT8), final_i, slot_i
  };
  assign next = spare_valid_q ? spare_q : incoming;

  logic to_keys_q, to_values_q, to_bytes_q, final_q, slot_q;
  logic [ActPorts-1:0] used_q, half_q;
  logic [ActPorts-1:0] act_left_q;  // rows not yet written to the activation memory
  logic [ActPorts-1:0][31:0] address_q;
  logic [TileColumns-1:0] column_used_q;
  logic [ColumnShift-1:0] lane_q;
  logic [GroupBits-1:0] last_group_q;  // of keys
  logic [ActPorts-1:0][TileColumns-1:0][15:0] row_q;

  always_ff @(posedge clk_i) begin
    if (!spare_valid_q) spare_q <= incoming;
    if (advance) begin
      {row_q, address_q, half_q, used_q, act_left_q, column_used_q, lane_q, last_group_q, to_keys_q, to_values_q, to_bytes_q,
       final_q, slot_q} <= next;
      valid_q <= spare_valid_q || accept;
      spare_valid_q <= 1'b0;
      if (!spare_valid_q && !accept) act_left_q <= '0;
    end else begin
      act_left_q <= act_left_q & ~act_wr_ready_i;
      if (weight_accepted) address_q[0] <= address_q[0] + 32'd1;  // of the next group of keys
      if (accept) spare_valid_q <= 1'b1;
    end
    if (!rst_ni) begin
      valid_q <= 1'b0;
      spare_valid_q <= 1'b0;
      act_left_q <= '0;
    end
  end

  // --- the write ---

  logic [GroupBits-1:0] group_q;
  logic [ActPorts-1:0][TileColumns-1:0][7:0] bytes;
  logic [ActPorts-1:0][TileDepth-1:0][7:0] group_bytes;
  logic [TileDepth-1:0] group_used;
  logic last_group, to_weight;
  logic [ColumnShift-1:0] group_column;  // first column of the group

  assign to_weight = to_keys_q || to_values_q;
  assign group_column = ColumnShift'(group_q) << DepthShift;
  assign last_group = !to_keys_q || group_q == last_group_q;
  assign weight_accepted = weight_wr_valid_o && weight_wr_ready_i;
  assign rows_done = to_weight ? weight_accepted && last_group : valid_q && (act_left_q & ~act_wr_ready_i) == '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) group_q <= '0;
    else if (weight_accepted) group_q <= last_group ? '0 : group_q + 1'b1;
    finished_o <= rst_ni && rows_done && final_q;
    slot_o <= slot_q;
  end

  always_comb begin
    for (int c = 0; c < TileColumns; c++) begin
      for (int p = 0; p < ActPorts; p++) begin
        if (row_q[p][c][15:7] == '0 || row_q[p][c][15:7] == '1) bytes[p][c] = row_q[p][c][7:0];
        else bytes[p][c] = {row_q[p][c][15], {7{~row_q[p][c][15]}}};
      end
    end
  end

  always_comb begin
    for (int i = 0; i < TileDepth; i++) begin
      group_used[i] = column_used_q[group_column+ColumnShift'(i)];
      for (int p = 0; p < ActPorts; p++) group_bytes[p][i] = bytes[p][group_column+ColumnShift'(i)];
    end
  end

  assign act_wr_valid_o = act_left_q;
  assign act_wr_address_o = address_q;

  always_comb begin
    for (int p = 0; p < ActPorts; p++) begin
      act_wr_data_o[p] = to_bytes_q ? {2{bytes[p]}} : row_q[p];
      act_wr_strobe_o[p] = half_q[p] ? {column_used_q, {TileColumns{1'b0}}} : {{TileColumns{1'b0}}, column_used_q};
      if (!to_bytes_q) begin
        for (int c = 0; c < TileColumns; c++) act_wr_strobe_o[p][2*c+:2] = {2{column_used_q[c]}};
      end
    end
  end

  assign weight_wr_valid_o = valid_q && to_weight;
  assign weight_wr_address_o = address_q[0];

  // Keys: the group's bytes at lane * TileDepth. Values: every column's byte at column * TileDepth + lane. The lane of the
  // first row is a multiple of ActPorts.
  always_comb begin
    for (int c = 0; c < TileColumns; c++) begin
      for (int i = 0; i < TileDepth; i++) begin
        if (to_keys_q) begin
          weight_wr_data_o[8*(c*TileDepth+i)+:8] = group_bytes[c%ActPorts][i];
          weight_wr_strobe_o[c*TileDepth+i] = group_used[i] && used_q[c%ActPorts]
              && lane_q >> PortBits == ColumnShift'(c / ActPorts);
        end else begin
          weight_wr_data_o[8*(c*TileDepth+i)+:8] = bytes[i%ActPorts][c];
          weight_wr_strobe_o[c*TileDepth+i] = column_used_q[c] && used_q[i%ActPorts]
              && lane_q >> PortBits == ColumnShift'(i / ActPorts);
        end
      end
    end
  end

endmodule
