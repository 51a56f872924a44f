// Joins rows of values with their places, adds the old residual, and writes them.
//
// ActPorts rows per cycle go to act, each through its own port, or, as all of them lie in the same weight word, to weight for
// values; keys take one write for every TileDepth columns. finished_o is high in the cycle after the last write of a product
// was accepted. slot_o is the instruction of the writes of the cycle before.
//
// The rows wait in payloads of PayloadColumns columns, each with copies of what chooses among its bytes: at most 288 loads.
module moesaic_result_writer #(
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
  localparam int unsigned PayloadColumns = 4;
  localparam int unsigned Payloads = TileColumns / PayloadColumns;

  // --- add ---

  logic residual, to_weight, ready;
  logic [GroupBits-1:0] groups;  // of the tile, less one
  logic [TileColumns-1:0] columns_used;
  logic [ActPorts-1:0][TileColumns-1:0][15:0] added;

  assign residual = destination_i == 3'(moesaic_isa_pkg::DESTINATION_RESIDUAL);
  assign to_weight = destination_i == 3'(moesaic_isa_pkg::DESTINATION_KEYS) || destination_i == 3'(moesaic_isa_pkg::DESTINATION_VALUES);
  assign groups = GroupBits'((columns_i - 1'b1) >> DepthShift);
  assign value_ready_o = ready && place_valid_i;
  assign place_ready_o = ready && value_valid_i;

  for (genvar c = 0; c < TileColumns; c++) begin : gen_column
    assign columns_used[c] = (ColumnShift + 1)'(c) < columns_i;
  end

  for (genvar p = 0; p < ActPorts; p++) begin : gen_row
    for (genvar c = 0; c < TileColumns; c++) begin : gen_lane
      logic [16:0] sum;

      assign sum = {value_i[p][c][15], value_i[p][c]} + (residual ? {old_i[p][c][15], old_i[p][c]} : '0);
      assign added[p][c] = (sum[16] != sum[15]) ? {sum[16], {15{~sum[16]}}} : sum[15:0];
    end
  end

  logic keys, bytes_only, to_keys, final_rows, slot, leaves;
  logic [ActPorts-1:0] used, half;
  logic [ActPorts-1:0][31:0] address;
  logic [TileColumns-1:0] column_used;
  logic [ColumnShift-1:0] lane;
  logic [GroupBits-1:0] last_group, group_q;  // of keys
  logic [ActPorts-1:0][TileColumns-1:0][15:0] row;
  // copies of to_keys and of "only bytes" for the columns of a payload
  logic [Payloads-1:0] column_to_keys, column_to_bytes;

  assign keys = destination_i == 3'(moesaic_isa_pkg::DESTINATION_KEYS);
  assign bytes_only = destination_i == 3'(moesaic_isa_pkg::DESTINATION_INT8);

  // The port to weight takes the rows with their last group.
  moesaic_port_buffer #(
      .Width($bits({address, half, used, column_used, lane, last_group, to_keys, final_rows, slot})),
      .Ports(ActPorts + 1)
  ) u_rows (
      .clk_i,
      .rst_ni,
      .valid_i     (value_valid_i && place_valid_i),
      .ready_o     (ready),
      .ports_i     ({to_weight, used_i & {ActPorts{!to_weight}}}),
      .data_i      ({address_i, half_i, used_i, columns_used, lane_i, groups, keys, final_i, slot_i}),
      .port_valid_o({weight_wr_valid_o, act_wr_valid_o}),
      .port_ready_i({weight_wr_ready_i && (!to_keys || group_q == last_group), act_wr_ready_i}),
      .data_o      ({address, half, used, column_used, lane, last_group, to_keys, final_rows, slot}),
      .leaves_o    (leaves)
  );

  // Values in the order of their payloads: columns, then rows.
  localparam int unsigned PayloadBits = 16 * ActPorts * PayloadColumns;
  logic [Payloads-1:0][PayloadBits-1:0] part, added_part;

  always_comb begin
    for (int c = 0; c < TileColumns; c++) begin
      for (int p = 0; p < ActPorts; p++) begin
        added_part[c/PayloadColumns][16*((c%PayloadColumns)*ActPorts+p)+:16] = added[p][c];
        row[p][c] = part[c/PayloadColumns][16*((c%PayloadColumns)*ActPorts+p)+:16];
      end
    end
  end

  for (genvar g = 0; g < Payloads; g++) begin : gen_payload
    moesaic_payload_pair #(
        .Width(PayloadBits + 2)
    ) u_payload (
        .clk_i,
        .rst_ni,
        .enters_i(value_valid_i && place_valid_i && ready),
        .leaves_i(leaves),
        .data_i  ({added_part[g], keys, bytes_only}),
        .data_o  ({part[g], column_to_keys[g], column_to_bytes[g]})
    );
  end

  // --- the write ---

  logic [ColumnShift-1:0] group_column;  // first column of the group
  logic [ActPorts-1:0][TileColumns-1:0][7:0] bytes;
  logic [ActPorts-1:0][TileDepth-1:0][7:0] group_bytes;
  logic [TileDepth-1:0] group_used;

  assign group_column = ColumnShift'(group_q) << DepthShift;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || leaves) group_q <= '0;
    else if (weight_wr_valid_o && weight_wr_ready_i) group_q <= group_q + 1'b1;
    finished_o <= rst_ni && leaves && final_rows;
    slot_o <= slot;
  end

  always_comb begin
    for (int c = 0; c < TileColumns; c++) begin
      for (int p = 0; p < ActPorts; p++) begin
        if (row[p][c][15:7] == '0 || row[p][c][15:7] == '1) bytes[p][c] = row[p][c][7:0];
        else bytes[p][c] = {row[p][c][15], {7{~row[p][c][15]}}};
      end
    end
  end

  always_comb begin
    for (int i = 0; i < TileDepth; i++) begin
      group_used[i] = column_used[group_column+ColumnShift'(i)];
      for (int p = 0; p < ActPorts; p++) group_bytes[p][i] = bytes[p][group_column+ColumnShift'(i)];
    end
  end

  assign act_wr_address_o = address;

  always_comb begin
    for (int p = 0; p < ActPorts; p++) begin
      act_wr_data_o[p] = row[p];
      act_wr_strobe_o[p] = half[p] ? {column_used, {TileColumns{1'b0}}} : {{TileColumns{1'b0}}, column_used};
      // by the place in the word of 16 bits, where two bytes may lie instead
      for (int c = 0; c < TileColumns; c++) begin
        if (column_to_bytes[c/PayloadColumns]) act_wr_data_o[p][16*c+:16] = {bytes[p][(2*c+1)%TileColumns], bytes[p][2*c%TileColumns]};
        else act_wr_strobe_o[p][2*c+:2] = {2{column_used[c]}};
      end
    end
  end

  assign weight_wr_address_o = address[0] + 32'(group_q);

  // Keys: the group's bytes at lane * TileDepth. Values: every column's byte at column * TileDepth + lane. The lane of the
  // first row is a multiple of ActPorts.
  always_comb begin
    for (int c = 0; c < TileColumns; c++) begin
      for (int i = 0; i < TileDepth; i++) begin
        if (column_to_keys[c/PayloadColumns]) begin
          weight_wr_data_o[8*(c*TileDepth+i)+:8] = group_bytes[c%ActPorts][i];
          weight_wr_strobe_o[c*TileDepth+i] = group_used[i] && used[c%ActPorts]
              && lane >> PortBits == ColumnShift'(c / ActPorts);
        end else begin
          weight_wr_data_o[8*(c*TileDepth+i)+:8] = bytes[i%ActPorts][c];
          weight_wr_strobe_o[c*TileDepth+i] = column_used[c] && used[i%ActPorts]
              && lane >> PortBits == ColumnShift'(i / ActPorts);
        end
      end
    end
  end

endmodule
