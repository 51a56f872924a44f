// The register file with every AXI signal a pin of its own, for benches in Python.
module control_pins #(
    parameter int unsigned LoadPorts   = 3,
    parameter logic [63:0] Fingerprint = 64'd0
) (
    input  logic clk_i,
    input  logic rst_ni,
    output logic irq_o,

    input  logic [11:0] s_axi_awaddr,
    input  logic [2:0]  s_axi_awprot,
    input  logic        s_axi_awvalid,
    output logic        s_axi_awready,
    input  logic [31:0] s_axi_wdata,
    input  logic [3:0]  s_axi_wstrb,
    input  logic        s_axi_wvalid,
    output logic        s_axi_wready,
    output logic [1:0]  s_axi_bresp,
    output logic        s_axi_bvalid,
    input  logic        s_axi_bready,
    input  logic [11:0] s_axi_araddr,
    input  logic [2:0]  s_axi_arprot,
    input  logic        s_axi_arvalid,
    output logic        s_axi_arready,
    output logic [31:0] s_axi_rdata,
    output logic [1:0]  s_axi_rresp,
    output logic        s_axi_rvalid,
    input  logic        s_axi_rready,

    output logic        core_rst_no,
    output logic        start_o,             // pulse, first cycle of a run
    output logic        halt_o,
    input  logic        bus_idle_i,          // no transaction outstanding at any master
    input  logic        end_i,               // `end` was reached
    input  logic        units_empty_i,       // no instruction waits or executes
    output logic [39:0] constant_base_o,
    output logic [31:0] constant_size_o,
    output logic [39:0] frame_base_o,
    output logic [31:0] frame_size_o,
    output logic [31:0] program_offset_o,
    output logic [31:0] program_size_o,

    input  logic [5:0]       fault_i,        // pulses; index as in the register FAULT_UNIT
    input  logic [5:0][3:0]  fault_cause_i,
    input  logic [5:0][31:0] fault_tag_i,
    input  logic [4:0]       completed_i,    // instructions completed, one bit per unit
    // Counted events, indexed by moesaic_isa_pkg::COUNTER_*. Ignored: cycles, instructions and read_beats, which are counted here.
    input  logic [moesaic_isa_pkg::COUNTERS-1:0] event_i,
    input  logic [LoadPorts:0]           read_beats_i    // one bit per port that reads
);

  moesaic_axi_pkg::lite_request_t request;
  moesaic_axi_pkg::lite_response_t response;

  assign request.awaddr  = s_axi_awaddr;
  assign request.awprot  = s_axi_awprot;
  assign request.awvalid = s_axi_awvalid;
  assign request.wdata   = s_axi_wdata;
  assign request.wstrb   = s_axi_wstrb;
  assign request.wvalid  = s_axi_wvalid;
  assign request.bready  = s_axi_bready;
  assign request.araddr  = s_axi_araddr;
  assign request.arprot  = s_axi_arprot;
  assign request.arvalid = s_axi_arvalid;
  assign request.rready  = s_axi_rready;
  assign s_axi_awready   = response.awready;
  assign s_axi_wready    = response.wready;
  assign s_axi_bresp     = response.bresp;
  assign s_axi_bvalid    = response.bvalid;
  assign s_axi_arready   = response.arready;
  assign s_axi_rdata     = response.rdata;
  assign s_axi_rresp     = response.rresp;
  assign s_axi_rvalid    = response.rvalid;

  moesaic_control #(
      .LoadPorts(LoadPorts),
      .Fingerprint(Fingerprint)
  ) u_control (
      .clk_i,
      .rst_ni,
      .irq_o,
      .core_rst_no,
      .start_o,
      .halt_o,
      .bus_idle_i,
      .end_i,
      .units_empty_i,
      .constant_base_o,
      .constant_size_o,
      .frame_base_o,
      .frame_size_o,
      .program_offset_o,
      .program_size_o,
      .fault_i,
      .fault_cause_i,
      .fault_tag_i,
      .completed_i,
      .event_i,
      .read_beats_i,
      .s_axi_i(request),
      .s_axi_o(response)
  );

endmodule
