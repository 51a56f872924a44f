// moesaic_load_port: an AXI4 manager that reads. Its bursts come from moesaic_burst_splitter by way of `load`, which offers none while it
// drops data, and only while the port is ready.
module load_port_proof #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth = 4,
    parameter int unsigned MaxBeats = 16,
    parameter int unsigned Outstanding = 32,
    localparam int unsigned Lanes = TileColumns * TileDepth / 16,
    localparam int unsigned MostOpen = (Outstanding + 2) * MaxBeats
) (
    input logic                            clk_i,
    input logic                            rst_ni,
    input logic                            burst_valid_i,
    input logic [39:4]                     burst_address_i,
    input logic [31:4]                     burst_local_i,
    input logic [7:0]                      burst_length_i,
    input logic [1:0]                      burst_destination_i,
    input logic                            burst_unpack_i,
    input logic                            burst_owner_i,
    input logic                            drop_i,
    input logic                            word_ready_i,
    input moesaic_axi_pkg::read_response_t response_i
);

  moesaic_axi_pkg::read_request_t request;
  logic burst_ready, outstanding, arrived, read_beat, error, error_owner, word_valid, word_owner, word_ends_burst, dropped_q;
  logic [8*TileColumns*TileDepth-1:0] word_data;
  logic [Lanes-1:0] word_strobe;
  logic [27:0] word_address;
  logic [1:0] word_destination;
  logic [$clog2(MostOpen+1)-1:0] open;

  reset_assumed u_reset (.clk_i, .rst_ni);

  moesaic_load_port #(
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth),
      .MaxBeats   (MaxBeats),
      .Outstanding(Outstanding)
  ) u_port (
      .clk_i,
      .rst_ni,
      .burst_valid_i      (burst_valid_i && burst_ready && !drop_i),
      .burst_ready_o      (burst_ready),
      .burst_address_i    ({burst_address_i, 4'd0}),
      .burst_local_i      ({burst_local_i, 4'd0}),
      .burst_length_i,
      .burst_destination_i,
      .burst_unpack_i,
      .burst_owner_i,
      .drop_i,
      .outstanding_o      (outstanding),
      .arrived_o          (arrived),
      .read_beat_o        (read_beat),
      .error_o            (error),
      .error_owner_o      (error_owner),
      .word_valid_o       (word_valid),
      .word_ready_i,
      .word_data_o        (word_data),
      .word_strobe_o      (word_strobe),
      .word_address_o     (word_address),
      .word_destination_o (word_destination),
      .word_owner_o       (word_owner),
      .word_ends_burst_o  (word_ends_burst),
      .m_axi_o            (request),
      .m_axi_i            (response_i)
  );

  // What burst_splitter_proof shows of bursts, and `load` of what it does with them.
  always_ff @(posedge clk_i) dropped_q <= rst_ni && (drop_i || error);
  always_comb begin
    bursts_stay_in_their_pages: assume (9'(burst_address_i[11:4]) + 9'(burst_length_i) <= 9'd255);
    bursts_stay_in_their_blocks: assume (32'(burst_length_i) + 32'(burst_local_i[4+:$clog2(MaxBeats)]) < MaxBeats);
    only_weights_are_unpacked: assume (!burst_unpack_i || burst_destination_i == 2'(moesaic_isa_pkg::LOAD_TO_WEIGHT));
    drops_after_an_error_to_the_end: assume (!rst_ni || !dropped_q || drop_i);
  end

  // The address behind the one on offer is promised, too.
  axi_read_rules #(
      .MostBeats(MaxBeats),
      .MostOpen (MostOpen),
      .Promised (2)
  ) u_rules (
      .clk_i,
      .rst_ni,
      .request_i (request),
      .response_i,
      .halted_i  (drop_i),
      .idle_i    (!outstanding),
      .open_o    (open)
  );

  // While data is dropped, beats wait at most a cycle.
  logic waited_q;
  always_ff @(posedge clk_i) begin
    waited_q <= rst_ni && drop_i && response_i.rvalid && !request.rready;
    if (rst_ni) begin
      dropped_beats_are_taken: assert (!waited_q || request.rready);
      dropped: cover (drop_i && dropped_q && read_beat);
      word_of_two_beats: cover (word_valid && word_strobe == '1);
      error_answer: cover (error && response_i.r.resp == 2'b10);
    end
  end

endmodule
