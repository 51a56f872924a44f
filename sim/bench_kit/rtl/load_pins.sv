// The load unit with every AXI signal a pin of its own, for benches in Python.
module load_pins #(
    parameter int unsigned LoadPorts   = 3,
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth   = 4,
    parameter int unsigned ActBytes    = 131072,
    parameter int unsigned WeightBytes = 163840,    // that weight addresses reach
    parameter int unsigned Experts     = 16
) (
    input  logic         clk_i,
    input  logic         rst_ni,
    input  logic         instr_valid_i,
    output logic         instr_ready_o,
    input  logic [8*moesaic_isa_pkg::INSTRUCTION_BYTES-1:0] instr_i,
    output logic         done_o,
    output logic         fault_o,
    output logic [3:0]   fault_cause_o,
    output logic         fault_older_o,
    input  logic         halt_i,
    output logic         idle_o,
    output logic         dram_stall_o,
    output logic [LoadPorts-1:0] read_beats_o,

    input  logic [39:0] constant_base_i,
    input  logic [31:0] constant_size_i,
    input  logic [39:0] frame_base_i,
    input  logic [31:0] frame_size_i,
    input  logic [Experts-1:0][16:0] count_i,    // entries in the expert queues

    output logic                               act_wr_valid_o,
    input  logic                               act_wr_ready_i,
    output logic [31:0]                        act_wr_address_o,
    output logic [16*TileColumns-1:0]          act_wr_data_o,
    output logic [2*TileColumns-1:0]           act_wr_strobe_o,
    output logic                               weight_wr_valid_o,
    input  logic                               weight_wr_ready_i,
    output logic [31:0]                        weight_wr_address_o,
    output logic [8*TileColumns*TileDepth-1:0] weight_wr_data_o,
    output logic [TileColumns*TileDepth-1:0]   weight_wr_strobe_o,
    output logic                               table_wr_valid_o,
    input  logic                               table_wr_ready_i,
    output logic [31:0]                        table_wr_address_o,
    output logic [127:0]                       table_wr_data_o,

    output logic [LoadPorts-1:0][39:0]  m_axi_araddr,
    output logic [LoadPorts-1:0][7:0]   m_axi_arlen,
    output logic [LoadPorts-1:0][2:0]   m_axi_arsize,
    output logic [LoadPorts-1:0][1:0]   m_axi_arburst,
    output logic [LoadPorts-1:0][3:0]   m_axi_arcache,
    output logic [LoadPorts-1:0][2:0]   m_axi_arprot,
    output logic [LoadPorts-1:0]        m_axi_arvalid,
    input  logic [LoadPorts-1:0]        m_axi_arready,
    input  logic [LoadPorts-1:0][127:0] m_axi_rdata,
    input  logic [LoadPorts-1:0][1:0]   m_axi_rresp,
    input  logic [LoadPorts-1:0]        m_axi_rlast,
    input  logic [LoadPorts-1:0]        m_axi_rvalid,
    output logic [LoadPorts-1:0]        m_axi_rready
);

  logic [LoadPorts-1:0][moesaic_axi_pkg::READ_REQUEST_BITS-1:0] requests;
  logic [LoadPorts-1:0][moesaic_axi_pkg::READ_RESPONSE_BITS-1:0] responses;

  for (genvar p = 0; p < LoadPorts; p++) begin : gen_port
    moesaic_axi_pkg::read_request_t request;
    moesaic_axi_pkg::read_response_t response;

    assign request          = requests[p];
    assign responses[p]     = response;
    assign m_axi_araddr[p]  = request.ar.addr;
    assign m_axi_arlen[p]   = request.ar.len;
    assign m_axi_arsize[p]  = request.ar.size;
    assign m_axi_arburst[p] = request.ar.burst;
    assign m_axi_arcache[p] = request.ar.cache;
    assign m_axi_arprot[p]  = request.ar.prot;
    assign m_axi_arvalid[p] = request.arvalid;
    assign m_axi_rready[p]  = request.rready;
    assign response.arready = m_axi_arready[p];
    assign response.r.data  = m_axi_rdata[p];
    assign response.r.resp  = m_axi_rresp[p];
    assign response.r.last  = m_axi_rlast[p];
    assign response.rvalid  = m_axi_rvalid[p];
  end

  moesaic_load #(
      .LoadPorts(LoadPorts),
      .TileColumns(TileColumns),
      .TileDepth(TileDepth),
      .ActBytes(ActBytes),
      .WeightBytes(WeightBytes),
      .Experts(Experts)
  ) u_load (
      .clk_i,
      .rst_ni,
      .instr_valid_i,
      .instr_ready_o,
      .instr_i,
      .done_o,
      .fault_o,
      .fault_cause_o,
      .fault_older_o,
      .halt_i,
      .idle_o,
      .dram_stall_o,
      .read_beats_o,
      .constant_base_i,
      .constant_size_i,
      .frame_base_i,
      .frame_size_i,
      .count_i,
      .act_wr_valid_o,
      .act_wr_ready_i,
      .act_wr_address_o,
      .act_wr_data_o,
      .act_wr_strobe_o,
      .weight_wr_valid_o,
      .weight_wr_ready_i,
      .weight_wr_address_o,
      .weight_wr_data_o,
      .weight_wr_strobe_o,
      .table_wr_valid_o,
      .table_wr_ready_i,
      .table_wr_address_o,
      .table_wr_data_o,
      .m_axi_o(requests),
      .m_axi_i(responses)
  );

endmodule
