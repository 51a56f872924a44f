// Instruction fetch with every AXI signal a pin of its own, for benches in Python.
module fetch_pins #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth   = 4,
    parameter int unsigned Experts     = 16,
    parameter int unsigned QueueTokens = 128
) (
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         start_i,
    input  logic [39:0]  constant_base_i,
    input  logic [31:0]  constant_size_i,
    input  logic [31:0]  program_offset_i,    // multiple of 64
    input  logic [31:0]  program_size_i,
    input  logic         halt_i,
    output logic         idle_o,
    output logic         read_beat_o,
    output logic         end_o,               // `end` was reached: all instructions before it are with their units
    output logic         fault_o,
    output logic [3:0]   fault_cause_o,

    output logic [moesaic_isa_pkg::UNITS-1:0] dispatch_valid_o,    // one hot, indexed by unit
    input  logic [moesaic_isa_pkg::UNITS-1:0] dispatch_ready_i,
    output logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] dispatch_instr_o,

    output logic [39:0]  m_axi_araddr,
    output logic [7:0]   m_axi_arlen,
    output logic [2:0]   m_axi_arsize,
    output logic [1:0]   m_axi_arburst,
    output logic [3:0]   m_axi_arcache,
    output logic [2:0]   m_axi_arprot,
    output logic         m_axi_arvalid,
    input  logic         m_axi_arready,
    input  logic [127:0] m_axi_rdata,
    input  logic [1:0]   m_axi_rresp,
    input  logic         m_axi_rlast,
    input  logic         m_axi_rvalid,
    output logic         m_axi_rready
);

  moesaic_axi_pkg::read_request_t request;
  moesaic_axi_pkg::read_response_t response;

  assign m_axi_araddr     = request.ar.addr;
  assign m_axi_arlen      = request.ar.len;
  assign m_axi_arsize     = request.ar.size;
  assign m_axi_arburst    = request.ar.burst;
  assign m_axi_arcache    = request.ar.cache;
  assign m_axi_arprot     = request.ar.prot;
  assign m_axi_arvalid    = request.arvalid;
  assign m_axi_rready     = request.rready;
  assign response.arready = m_axi_arready;
  assign response.r.data  = m_axi_rdata;
  assign response.r.resp  = m_axi_rresp;
  assign response.r.last  = m_axi_rlast;
  assign response.rvalid  = m_axi_rvalid;

  moesaic_fetch #(
      .TileColumns(TileColumns),
      .TileDepth  (TileDepth),
      .Experts    (Experts),
      .QueueTokens(QueueTokens)
  ) u_fetch (
      .clk_i,
      .rst_ni,
      .start_i,
      .constant_base_i,
      .constant_size_i,
      .program_offset_i,
      .program_size_i,
      .halt_i,
      .idle_o,
      .read_beat_o,
      .end_o,
      .fault_o,
      .fault_cause_o,
      .dispatch_valid_o,
      .dispatch_ready_i,
      .dispatch_instr_o,
      .m_axi_o(request),
      .m_axi_i(response)
  );

endmodule
