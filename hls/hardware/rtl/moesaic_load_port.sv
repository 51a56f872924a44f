// One AXI read port of the load unit: asks for bursts, up to Outstanding at a time, and assembles their beats into words of the memory
// that each goes to. A burst stays within one block of MaxBeats on chip (burst_splitter); its end ends a word.
//
// The beats of a burst that is unpacked fill two lanes of a word each: an int8 for each half of a byte, the low one first.
module moesaic_load_port #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth   = 4,
    parameter int unsigned MaxBeats    = 16,
    parameter int unsigned Outstanding = 32,    // bursts
    parameter int unsigned Words       = 16     // assembled
) (
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic        burst_valid_i,
    output logic        burst_ready_o,          // registered
    input  logic [39:0] burst_address_i,
    input  logic [31:0] burst_local_i,          // what 16 bytes of the burst fill, times 16
    input  logic [7:0]  burst_length_i,
    input  logic [1:0]  burst_destination_i,    // moesaic_isa_pkg::LOAD_TO_*
    input  logic        burst_unpack_i,         // only with LOAD_TO_WEIGHT
    input  logic        burst_owner_i,          // which of the two instructions in flight it belongs to

    input  logic        drop_i,                 // swallow read data
    output logic        outstanding_o,          // a burst has not ended
    output logic        arrived_o,              // a beat waits to be taken
    output logic        read_beat_o,
    output logic        error_o,                // the beat taken in this cycle is wrong, and is not written
    output logic        error_owner_o,

    output logic                               word_valid_o,
    input  logic                               word_ready_i,
    output logic [8*TileColumns*TileDepth-1:0] word_data_o,         // of the word shown in the cycle before
    output logic [TileColumns*TileDepth/16-1:0] word_strobe_o,      // of 16 bytes each
    output logic [27:0]                        word_address_o,      // in words of the destination; table: 16 bytes
    output logic [1:0]                         word_destination_o,
    output logic                               word_owner_o,
    output logic                               word_ends_burst_o,

    output moesaic_axi_pkg::read_request_t  m_axi_o,
    input  moesaic_axi_pkg::read_response_t m_axi_i
);

  localparam int unsigned Lanes       = TileColumns * TileDepth / 16;
  localparam int unsigned LaneBits    = $clog2(Lanes);
  localparam int unsigned ActShift    = $clog2(TileColumns / 8);
  localparam int unsigned BlockBits   = $clog2(MaxBeats);

  // Address channel. Every burst leaves a note of where its data goes.
  logic address_ready, note_ready, push;
  logic [39:0] ar_address;
  logic [7:0] ar_length;
  assign burst_ready_o = address_ready && note_ready;
  assign push          = burst_valid_i && burst_ready_o;
  assign m_axi_o.ar    = moesaic_axi_pkg::burst(ar_address, ar_length);

  moesaic_skid_buffer #(
      .Width($bits({ar_address, ar_length}))
  ) u_addresses (
      .clk_i,
      .rst_ni,
      .valid_i(push),
      .ready_o(address_ready),
      .data_i ({burst_address_i, burst_length_i}),
      .valid_o(m_axi_o.arvalid),
      .ready_i(m_axi_i.arready),
      .data_o ({ar_address, ar_length})
  );

  logic note_valid, note_pop, note_owner, note_unpack;
  logic [27:0] note_local;
  logic [BlockBits-1:0] note_length;
  logic [1:0] note_destination;

  moesaic_fifo #(
      .Width($bits({note_local, note_length, note_destination, note_unpack, note_owner})),
      .Depth(Outstanding)
  ) u_notes (
      .clk_i,
      .rst_ni,
      .valid_i(push),
      .ready_o(note_ready),
      .data_i ({burst_local_i[31:4], burst_length_i[BlockBits-1:0], burst_destination_i, burst_unpack_i, burst_owner_i}),
      .valid_o(note_valid),
      .ready_i(note_pop),
      .data_o ({note_local, note_length, note_destination, note_unpack, note_owner})
  );

  // Data channel.
  logic beat_valid, beat_ready, beat_last, beat_error;
  logic [127:0] beat_data;

  moesaic_skid_buffer #(
      .Width($bits({beat_last, beat_error, beat_data}))
  ) u_beats (
      .clk_i,
      .rst_ni,
      .valid_i(m_axi_i.rvalid),
      .ready_o(m_axi_o.rready),
      .data_i ({m_axi_i.r.last, m_axi_i.r.resp[1], m_axi_i.r.data}),
      .valid_o(beat_valid),
      .ready_i(beat_ready),
      .data_o ({beat_last, beat_error, beat_data})
  );

  logic [BlockBits-1:0] index_q;
  logic [27:0] local_beat, word_address;
  logic [LaneBits-1:0] lane;
  logic burst_end, word_end, wrong, taken, buffer_ready;

  // A burst stays in its block: the index never carries out of the low bits.
  assign local_beat = {note_local[27:BlockBits], note_local[BlockBits-1:0] + index_q};
  assign burst_end  = index_q == note_length;
  assign wrong      = beat_error || beat_last != burst_end;
  assign beat_ready = note_valid && (drop_i || wrong || buffer_ready);
  assign taken      = beat_valid && beat_ready;
  assign note_pop   = taken && burst_end;

  always_comb begin
    case (4'(note_destination))
      moesaic_isa_pkg::LOAD_TO_ACT: begin
        word_address = local_beat >> ActShift;
        lane         = LaneBits'(local_beat & 28'(TileColumns / 8 - 1));
        word_end     = (local_beat & 28'(TileColumns / 8 - 1)) == 28'(TileColumns / 8 - 1);
      end
      moesaic_isa_pkg::LOAD_TO_WEIGHT: begin
        word_address = note_unpack ? local_beat >> (LaneBits - 1) : local_beat >> LaneBits;
        lane         = note_unpack ? LaneBits'(local_beat << 1) : LaneBits'(local_beat);
        word_end     = (lane | LaneBits'(note_unpack)) == LaneBits'(Lanes - 1);
      end
      default: begin
        word_address = local_beat;
        lane         = '0;
        word_end     = 1'b1;
      end
    endcase
  end

  logic [1:0][127:0] lane_data;
  always_comb begin
    for (int h = 0; h < 2; h++) begin
      for (int n = 0; n < 16; n++) begin
        lane_data[h][8*n+:8] = note_unpack ? {{4{beat_data[64*h+4*n+3]}}, beat_data[64*h+4*n+:4]} : beat_data[8*n+:8];
      end
    end
  end

  moesaic_word_buffer #(
      .Lanes   (Lanes),
      .TagWidth($bits({word_address_o, word_destination_o, word_owner_o, word_ends_burst_o})),
      .Depth   (Words)
  ) u_words (
      .clk_i,
      .rst_ni,
      .valid_i (beat_valid && note_valid && !drop_i && !wrong),
      .ready_o (buffer_ready),
      .lane_i  (lane),
      .pair_i  (note_unpack),
      .data_i  (lane_data),
      .last_i  (word_end || burst_end),
      .tag_i   ({word_address, note_destination, note_owner, burst_end}),
      .valid_o (word_valid_o),
      .ready_i (word_ready_i),
      .data_o  (word_data_o),
      .strobe_o(word_strobe_o),
      .tag_o   ({word_address_o, word_destination_o, word_owner_o, word_ends_burst_o})
  );

  assign outstanding_o = note_valid;
  assign arrived_o     = beat_valid;
  assign read_beat_o   = m_axi_i.rvalid && m_axi_o.rready;
  assign error_o       = taken && wrong;
  assign error_owner_o = note_owner;

  always_ff @(posedge clk_i) begin
    if (taken) index_q <= burst_end ? '0 : index_q + 1'b1;
    if (!rst_ni) index_q <= '0;
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      burst_is_of_whole_beats: assert (burst_local_i[3:0] == '0 || !burst_valid_i);
      only_weights_are_unpacked: assert (!burst_unpack_i || 4'(burst_destination_i) == moesaic_isa_pkg::LOAD_TO_WEIGHT || !burst_valid_i);
      bursts_are_taken_when_ready: assert (burst_ready_o || !burst_valid_i);
      beats_answer_a_burst: assert (note_valid || !beat_valid);
      index_stays_in_its_burst: assert (index_q <= note_length || !note_valid);
    end
  end
`endif

endmodule
