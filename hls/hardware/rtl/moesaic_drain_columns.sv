// A slice of the drain: `Columns` columns of all ports, with their parts of the queues of rows and values, of the blocks of
// parameters, and with registers of their own for all that enables or chooses in them.
//
// An input that controls is carried out a cycle later, when row_i and block_wr_data_i come that it belongs to. A row that is popped
// in cycle 0 shows at scaled_o in cycle 8, or in cycle 14 if it is weighed, and at value_o when scaled_o is TableCycles old:
//
//   0: row_pop_i, second_i, row_scale_i, load_i and block_i a cycle after the tile was loaded | 1: read | 2..7: requantise
//   2: row_multiplier_i and row_shift_i, which are used in cycle 3, and in cycle 9 of a weighed row
//   the cycle before value_o: table_enable_i, value_push_i
//
// Loads of a register, at most: row multiplexer and read pointer 32 * Columns * ActPorts, row scale 66 * Columns, weigh_i
// 64 * Columns, parameters' enable 54 * Columns, value multiplexer 16 * Columns * ActPorts.
module moesaic_drain_columns #(
    parameter int unsigned Columns = 4,
    parameter int unsigned ActPorts = 2,
    parameter int unsigned RowQueue = 16,
    parameter int unsigned ValueQueue = 32,
    parameter int unsigned ParameterTiles = 64,
    parameter int unsigned TableCycles = 4
) (
    input  logic                                                        clk_i,
    input  logic                                                        rst_ni,
    // blocks of parameters, and the one that is used
    input  logic                                                        block_wr_valid_i,
    input  logic [$clog2(ParameterTiles)-1:0]                           block_wr_address_i,
    /* verilator lint_off UNUSEDSIGNAL */
    input  logic [Columns-1:0][8*moesaic_isa_pkg::PARAMETER_BYTES-1:0]  block_wr_data_i,
    /* verilator lint_on UNUSEDSIGNAL */
    input  logic                                                        load_i,
    input  logic [$clog2(ParameterTiles)-1:0]                           block_i,
    // rows
    input  logic                                                        row_push_i,
    input  logic [ActPorts-1:0][Columns-1:0][31:0]                      row_i,
    input  logic                                                        row_pop_i,
    input  logic                                                        second_i,       // port 0 takes the row of port 1
    input  logic                                                        row_scale_i,
    input  logic                                                        weigh_i,
    input  logic [1:0][15:0]                                            row_multiplier_i,
    input  logic [1:0][5:0]                                             row_shift_i,
    // the table's way round
    output logic [ActPorts-1:0][Columns-1:0][15:0]                      scaled_o,
    input  logic [ActPorts-1:0][Columns-1:0][7:0]                       looked_up_i,
    input  logic                                                        table_enable_i,
    // values: those of this cycle, and the oldest of the queue
    output logic [ActPorts-1:0][Columns-1:0][15:0]                      value_o,
    input  logic                                                        value_push_i,
    input  logic                                                        value_pop_i,    // in this cycle
    output logic [ActPorts-1:0][Columns-1:0][15:0]                      oldest_o
);

  localparam int unsigned BlockBits = $clog2(ParameterTiles);

  // An entry of a block, moesaic_isa_pkg::parameter_t, without the bits of it that are always zero.
  typedef struct packed {
    logic [5:0] shift;
    logic [15:0] multiplier;
    logic [31:0] bias;
  } entry_t;

  localparam entry_t NoEntry = '0;
  localparam int unsigned EntryWidth = $bits(NoEntry);

  logic block_write, load, row_push, row_pop, second, row_scale, row_scale_q, weigh, table_enable, value_push;
  logic [BlockBits-1:0] block_wr_address, block;
  logic [1:0][15:0] row_multiplier;
  logic [1:0][5:0] row_shift;
  logic [ActPorts-1:0][Columns-1:0][31:0] row;
  logic [1:0][Columns-1:0][31:0] row_q;
  logic [1:0][Columns-1:0][15:0] scaled;
  logic [ActPorts-1:0][Columns-1:0][15:0] scaled_late;
  logic [Columns-1:0][EntryWidth-1:0] entries, parameters_q;
  (* ram_style = "distributed" *) logic [EntryWidth*Columns-1:0] blocks[ParameterTiles];

  moesaic_replica #(
      .Width($bits({block_write, block_wr_address, load, block}))
  ) u_blocks (
      .clk_i,
      .data_i({block_wr_valid_i, block_wr_address_i, load_i, block_i}),
      .data_o({block_write, block_wr_address, load, block})
  );

  moesaic_replica #(
      .Width($bits({row_push, row_pop, second, row_scale, weigh, table_enable, value_push}))
  ) u_control (
      .clk_i,
      .data_i({row_push_i, row_pop_i, second_i, row_scale_i, weigh_i, table_enable_i, value_push_i}),
      .data_o({row_push, row_pop, second, row_scale, weigh, table_enable, value_push})
  );

  moesaic_replica #(
      .Width($bits({row_multiplier, row_shift}))
  ) u_scales (
      .clk_i,
      .data_i({row_multiplier_i, row_shift_i}),
      .data_o({row_multiplier, row_shift})
  );

  for (genvar c = 0; c < Columns; c++) begin : gen_entry
    assign entries[c] = block_wr_data_i[c][EntryWidth-1:0];
  end

  always_ff @(posedge clk_i) begin
    if (block_write) blocks[block_wr_address] <= entries;
  end

  always_ff @(posedge clk_i) begin
    if (load) parameters_q <= blocks[block];
    row_scale_q <= row_scale;
    row_q[0] <= second ? row[ActPorts-1] : row[0];
    row_q[1] <= row[ActPorts-1];
  end

  moesaic_queue_memory #(
      .Width($bits(row)),
      .Depth(RowQueue)
  ) u_rows (
      .clk_i,
      .rst_ni,
      .push_i(row_push),
      .data_i(row_i),
      .pop_i (row_pop),
      .data_o(row)
  );

  // Weighed rows go through both lanes of a column, one after the other.
  for (genvar c = 0; c < Columns; c++) begin : gen_lane
    entry_t parameters;
    assign parameters = parameters_q[c];

    moesaic_requantise u_first (
        .clk_i,
        .row_scale_i     (row_scale_q),
        .sum_i           (row_q[0][c]),
        .bias_i          (parameters.bias),
        .multiplier_i    (parameters.multiplier),
        .shift_i         (parameters.shift),
        .row_multiplier_i(row_multiplier[0]),
        .row_shift_i     (row_shift[0]),
        .result_o        (scaled[0][c])
    );

    moesaic_requantise u_second (
        .clk_i,
        .row_scale_i     (weigh || row_scale_q),
        .sum_i           (weigh ? {{16{scaled[0][c][15]}}, scaled[0][c]} : row_q[1][c]),
        .bias_i          (parameters.bias),
        .multiplier_i    (parameters.multiplier),
        .shift_i         (parameters.shift),
        .row_multiplier_i(row_multiplier[1]),
        .row_shift_i     (row_shift[1]),
        .result_o        (scaled[1][c])
    );
  end

  assign scaled_o = scaled[ActPorts-1:0];

  moesaic_delay_line #(
      .Width ($bits(scaled_late)),
      .Stages(TableCycles)
  ) u_scaled_delay (
      .clk_i,
      .data_i(scaled[ActPorts-1:0]),
      .data_o(scaled_late)
  );

  always_comb begin
    value_o = scaled_late;
    if (table_enable) begin
      for (int p = 0; p < ActPorts; p++) begin
        for (int c = 0; c < Columns; c++) value_o[p][c] = {{8{looked_up_i[p][c][7]}}, looked_up_i[p][c]};
      end
    end
    if (weigh) value_o[0] = scaled[1];
  end

  moesaic_queue_memory #(
      .Width($bits(value_o)),
      .Depth(ValueQueue)
  ) u_values (
      .clk_i,
      .rst_ni,
      .push_i(value_push),
      .data_i(value_o),
      .pop_i (value_pop_i),
      .data_o(oldest_o)
  );

endmodule
