// moesaic_fetch: an AXI4 manager that reads the program, with everything on its bus as the specification asks.
//
// The program's place is as `control` gives it: windows on pages of 4 KiB, offsets of whole instructions, constant during a run.
module fetch_proof #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth = 4
) (
    input logic                              clk_i,
    input logic                              rst_ni,
    input logic                              start_i,
    input logic [39:12]                      constant_base_i,
    input logic [31:0]                       constant_size_i,
    input logic [31:6]                       program_offset_i,
    input logic [31:0]                       program_size_i,
    input logic                              halt_i,
    input logic [moesaic_isa_pkg::UNITS-1:0] dispatch_ready_i,
    input moesaic_axi_pkg::read_response_t   response_i
);

  localparam int unsigned Buffer = 64;    // beats

  moesaic_axi_pkg::read_request_t request;
  logic idle, read_beat, ends, fault, started_q, halted_q;
  logic [3:0] cause;
  logic [moesaic_isa_pkg::UNITS-1:0] dispatch_valid;
  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] dispatch_instr;
  logic [6:0] open, promised;

  reset_assumed u_reset (.clk_i, .rst_ni);

  held_constant #(
      .Width(118)
  ) u_place (
      .clk_i,
      .value_i({constant_base_i, constant_size_i, program_offset_i, program_size_i})
  );

  moesaic_fetch #(
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth)
  ) u_fetch (
      .clk_i,
      .rst_ni,
      .start_i,
      .constant_base_i ({constant_base_i, 12'd0}),
      .constant_size_i,
      .program_offset_i({program_offset_i, 6'd0}),
      .program_size_i,
      .halt_i,
      .idle_o          (idle),
      .read_beat_o     (read_beat),
      .end_o           (ends),
      .fault_o         (fault),
      .fault_cause_o   (cause),
      .dispatch_valid_o(dispatch_valid),
      .dispatch_ready_i,
      .dispatch_instr_o(dispatch_instr),
      .m_axi_o         (request),
      .m_axi_i         (response_i)
  );

  // One start a run, and a halt until the reset.
  always_ff @(posedge clk_i) begin
    started_q <= rst_ni && (started_q || start_i);
    halted_q  <= rst_ni && halt_i;
  end
  always_comb begin
    one_start: assume (!start_i || !started_q);
    halt_stays: assume (!rst_ni || !halted_q || halt_i);
  end

  axi_read_rules #(
      .MostBeats  (16),
      .MostOpen   (Buffer),
      .AlwaysReady(1'b1)
  ) u_rules (
      .clk_i,
      .rst_ni,
      .request_i (request),
      .response_i,
      .halted_i  (u_fetch.drop),
      .idle_i    (idle),
      .open_o    (open)
  );

  // Beats promised by an address on offer.
  assign promised = request.arvalid ? 7'(request.ar.len) + 7'd1 : '0;

  // Places that are free, promised to beats that are asked for, or in use until their instruction is whole.
  logic [6:0] buffered;
  logic [8:0] places;
  assign buffered = 7'(u_fetch.u_buffer.write_q - u_fetch.u_buffer.read_q);
  assign places   = {2'b00, u_fetch.room_q, 2'b00} + {6'd0, u_fetch.freed_q, 2'b00} + 9'(u_fetch.outstanding_q) + 9'(buffered)
      + 9'(u_fetch.beats_q);

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      outstanding_is_what_is_open: assert (u_fetch.outstanding_q == open + promised);
      beats_are_whole_instructions: assert (!request.arvalid || request.ar.len[1:0] == 2'b11);
      address_is_of_an_instruction: assert (!u_fetch.ready_q || u_fetch.address_q[5:0] == '0);
      buffer_flags_agree: assert (u_fetch.buffer_valid == (buffered != '0) && u_fetch.buffer_ready == (buffered != 7'(Buffer)));
      // What is asked for has a place, as long as it is wanted.
      places_add_up: assert (places <= 9'(Buffer) && (u_fetch.drop || places == 9'(Buffer)));
      runs_after_its_start: assert (!(u_fetch.ready_q || u_fetch.limit_valid_q) || started_q);
      never_twice: assert (!(u_fetch.ready_q && u_fetch.limit_valid_q));
      stops_for_good: assert (!(fault || ends) || u_fetch.stopped_q);
      dispatches: cover (|(dispatch_valid & dispatch_ready_i));
      reaches_the_end: cover (ends);
      faults: cover (fault && cause == moesaic_isa_pkg::FAULT_AXI_READ);
    end
  end

endmodule
