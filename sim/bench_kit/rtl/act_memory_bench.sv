// An activation memory for the benches of single units: the bench fills and dumps it, and rivals take its banks.
//
// In every cycle each rival asks with probability rivals_i / 256 for a random word, with priority over the unit. With the same
// probability the unit is refused altogether, its reads and its writes in turn for 64 cycles each, so that its queues run full
// and empty. At 0 the unit has the memory for itself.
module act_memory_bench #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned ActBytes    = 131072,
    parameter int unsigned ActBanks    = 4,
    parameter int unsigned ActUltraBytes = 32768,
    parameter int unsigned Reads       = 1     // of the unit per cycle
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  logic [7:0]                rivals_i,
    input  logic                      fill_valid_i,
    input  logic [31:0]               fill_address_i,
    input  logic [16*TileColumns-1:0] fill_data_i,
    input  logic                      dump_valid_i,
    input  logic [31:0]               dump_address_i,
    output logic                      dump_data_valid_o,
    output logic [16*TileColumns-1:0] dump_data_o,

    input  logic [Reads-1:0]                     rd_valid_i,
    output logic [Reads-1:0]                     rd_ready_o,
    input  logic [Reads-1:0][31:0]               rd_address_i,
    output logic [Reads-1:0]                     rd_data_valid_o,
    output logic [Reads-1:0][16*TileColumns-1:0] rd_data_o,
    output logic [Reads-1:0]                     rd_fault_o,
    input  logic                      wr_valid_i,
    output logic                      wr_ready_o,
    input  logic [31:0]               wr_address_i,
    input  logic [16*TileColumns-1:0] wr_data_i,
    input  logic [2*TileColumns-1:0]  wr_strobe_i,
    output logic                      wr_fault_o
);

  logic [63:0] noise_q;    // xorshift
  logic [63:0] noise_a, noise_b;
  assign noise_a = noise_q ^ (noise_q << 13);
  assign noise_b = noise_a ^ (noise_a >> 7);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) noise_q <= 64'h9e3779b97f4a7c15 ^ {8{rivals_i}};
    else noise_q <= noise_b ^ (noise_b << 17);
  end

  logic [6:0] phase_q;
  always_ff @(posedge clk_i) phase_q <= rst_ni ? phase_q + 7'd1 : '0;

  logic rd_open, wr_open;
  assign rd_open = phase_q[6] || noise_q[39:32] >= rivals_i;
  assign wr_open = !phase_q[6] || noise_q[47:40] >= rivals_i;

  logic rival_rd, rival_wr;
  logic [31:0] rival_rd_address, rival_wr_address;
  assign rival_rd = noise_q[7:0] < rivals_i;
  assign rival_wr = noise_q[15:8] < rivals_i;
  assign rival_rd_address = 32'((noise_q[23:16] * 33'(ActBytes / (2 * TileColumns))) >> 8);
  assign rival_wr_address = 32'((noise_q[31:24] * 33'(ActBytes / (2 * TileColumns))) >> 8);

  // Reads: 0 rival, then the unit's, last dump. Writes: 0 rival (no bytes), 1 unit, 2 fill.
  logic [Reads+1:0] rd_ready, rd_data_valid, rd_fault;
  logic [Reads+1:0][16*TileColumns-1:0] rd_data;
  logic [2:0] wr_ready, wr_fault;

  moesaic_act_memory #(
      .TileColumns(TileColumns),
      .ActBytes   (ActBytes),
      .ActBanks   (ActBanks),
      .ActUltraBytes(ActUltraBytes),
      .SharedBytes(0),
      .NumReads   (Reads + 2),
      .NumWrites  (3)
  ) u_act_memory (
      .clk_i,
      .rst_ni,
      .rd_valid_i     ({dump_valid_i, rd_valid_i & {Reads{rd_open}}, rival_rd}),
      .rd_ready_o     (rd_ready),
      .rd_address_i   ({dump_address_i, rd_address_i, rival_rd_address}),
      .rd_data_valid_o(rd_data_valid),
      .rd_data_o      (rd_data),
      .rd_fault_o     (rd_fault),
      .wr_valid_i     ({fill_valid_i, wr_valid_i && wr_open, rival_wr}),
      .wr_ready_o     (wr_ready),
      .wr_address_i   ({fill_address_i, wr_address_i, rival_wr_address}),
      .wr_data_i      ({fill_data_i, wr_data_i, (16 * TileColumns)'(0)}),
      .wr_strobe_i    ({{(2 * TileColumns) {1'b1}}, wr_strobe_i, (2 * TileColumns)'(0)}),
      .wr_fault_o     (wr_fault),
      .wide_rd_valid_i  (1'b0),
      .wide_rd_address_i('0),
      .wide_rd_data_o   (),
      .wide_wr_valid_i  (1'b0),
      .wide_wr_address_i('0),
      .wide_wr_data_i   ('0),
      .wide_wr_strobe_i ('0)
  );

  assign rd_ready_o        = rd_ready[Reads:1] & {Reads{rd_open}};
  assign rd_data_valid_o   = rd_data_valid[Reads:1];
  assign rd_data_o         = rd_data[Reads:1];
  assign rd_fault_o        = rd_fault[Reads:1];
  assign wr_ready_o        = wr_ready[1] && wr_open;
  assign wr_fault_o        = wr_fault[1];
  assign dump_data_valid_o = rd_data_valid[Reads+1];
  assign dump_data_o       = rd_data[Reads+1];

  // The bench fills and dumps with rivals_i at 0 and the unit idle.
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      fill_never_refused: assert (wr_ready[2] || !fill_valid_i);
      dump_never_refused: assert (rd_ready[Reads+1] || !dump_valid_i);
    end
  end

endmodule
