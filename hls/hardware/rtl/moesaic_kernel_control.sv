// The control port of the accelerator when the machine behind it is the kernel that Vitis HLS made of hls/hardware/cpp: the register file
// and the life of a run are those of `control`, so the host sees the same accelerator.
//
// The kernel shakes hands by ap_ctrl_hs: kernel_start_o stays up until kernel_ready_i, kernel_done_i is up for a cycle. What it
// counted comes with the ap_vld of each result and is shown in place of the counters that `control` would keep by events. A kernel
// cannot be stopped: after a timeout or a stop the run ends, with that fault or as stopped, once the kernel has ended.
module moesaic_kernel_control #(
    parameter logic [63:0] Fingerprint = 64'd0
) (
    input  logic clk_i,
    input  logic rst_ni,
    output logic irq_o,

    input  logic [11:0] s_axi_control_awaddr,
    input  logic [2:0]  s_axi_control_awprot,
    input  logic        s_axi_control_awvalid,
    output logic        s_axi_control_awready,
    input  logic [31:0] s_axi_control_wdata,
    input  logic [3:0]  s_axi_control_wstrb,
    input  logic        s_axi_control_wvalid,
    output logic        s_axi_control_wready,
    output logic [1:0]  s_axi_control_bresp,
    output logic        s_axi_control_bvalid,
    input  logic        s_axi_control_bready,
    input  logic [11:0] s_axi_control_araddr,
    input  logic [2:0]  s_axi_control_arprot,
    input  logic        s_axi_control_arvalid,
    output logic        s_axi_control_arready,
    output logic [31:0] s_axi_control_rdata,
    output logic [1:0]  s_axi_control_rresp,
    output logic        s_axi_control_rvalid,
    input  logic        s_axi_control_rready,

    output logic        kernel_start_o,
    input  logic        kernel_ready_i,
    input  logic        kernel_done_i,
    output logic [63:0] constant_base_o,
    output logic [31:0] constant_size_o,
    output logic [63:0] frame_base_o,
    output logic [31:0] frame_size_o,
    output logic [31:0] program_offset_o,
    output logic [31:0] program_size_o,
    input  logic [31:0] fault_i,
    input  logic        fault_valid_i,
    input  logic [31:0] fault_unit_i,
    input  logic        fault_unit_valid_i,
    input  logic [31:0] fault_tag_i,
    input  logic        fault_tag_valid_i,
    input  logic [31:0] instructions_i,
    input  logic        instructions_valid_i,
    input  logic [31:0] matmul_array_i,
    input  logic        matmul_array_valid_i,
    input  logic [31:0] read_beats_i,
    input  logic        read_beats_valid_i,
    input  logic [31:0] write_beats_i,
    input  logic        write_beats_valid_i
);

  logic start, ended_q, start_q, running_q;
  logic [39:0] constant_base, frame_base;
  logic [3:0] fault_q;
  logic [2:0] fault_unit_q;
  logic [31:0] fault_tag_q, instructions_q, matmul_array_q, read_beats_q, write_beats_q;
  logic own, own_q;
  logic [31:0] count, count_q;
  logic faulted;
  logic [moesaic_isa_pkg::UNITS:0] fault;

  assign kernel_start_o  = start_q;
  assign constant_base_o = {24'd0, constant_base};
  assign frame_base_o    = {24'd0, frame_base};
  assign faulted         = ended_q && fault_q != moesaic_isa_pkg::FAULT_NONE;
  always_comb begin
    fault = '0;
    for (int u = 0; u <= int'(moesaic_isa_pkg::UNITS); u++) fault[u] = faulted && fault_unit_q == 3'(u);
  end

  moesaic_axi_pkg::lite_request_t request;
  moesaic_axi_pkg::lite_response_t response;

  assign request.awaddr  = s_axi_control_awaddr;
  assign request.awprot  = s_axi_control_awprot;
  assign request.awvalid = s_axi_control_awvalid;
  assign request.wdata   = s_axi_control_wdata;
  assign request.wstrb   = s_axi_control_wstrb;
  assign request.wvalid  = s_axi_control_wvalid;
  assign request.bready  = s_axi_control_bready;
  assign request.araddr  = s_axi_control_araddr;
  assign request.arprot  = s_axi_control_arprot;
  assign request.arvalid = s_axi_control_arvalid;
  assign request.rready  = s_axi_control_rready;
  assign s_axi_control_awready = response.awready;
  assign s_axi_control_wready  = response.wready;
  assign s_axi_control_bresp   = response.bresp;
  assign s_axi_control_bvalid  = response.bvalid;
  assign s_axi_control_arready = response.arready;
  assign s_axi_control_rresp   = response.rresp;
  assign s_axi_control_rvalid  = response.rvalid;

  moesaic_control #(
      .LoadPorts  (1),
      .Fingerprint(Fingerprint)
  ) u_control (
      .clk_i,
      .rst_ni,
      .irq_o,
      .s_axi_i         (request),
      .s_axi_o         (response),
      .core_rst_no     (),
      .start_o         (start),
      .halt_o          (),
      .bus_idle_i      (!running_q),
      .end_i           (ended_q && !faulted),
      .units_empty_i   (1'b1),
      .constant_base_o (constant_base),
      .constant_size_o,
      .frame_base_o    (frame_base),
      .frame_size_o,
      .program_offset_o,
      .program_size_o,
      .fault_i         (fault),
      .fault_cause_i   ({$bits(fault){fault_q}}),
      .fault_tag_i     ({$bits(fault){fault_tag_q}}),
      .completed_i     ('0),
      .event_i         ('0),
      .read_beats_i    ('0)
  );

  // The kernel's own counts, in place of those of `control`, and read like them when the address is taken: a count that comes while
  // the answer waits must not change it (ARM IHI 0022, A3.2.1).
  always_comb begin
    own = 1'b1;
    case ({s_axi_control_araddr[11:2], 2'b00})
      moesaic_isa_pkg::REG_COUNTER_INSTRUCTIONS: count = instructions_q;
      moesaic_isa_pkg::REG_COUNTER_MATMUL_ARRAY: count = matmul_array_q;
      moesaic_isa_pkg::REG_COUNTER_READ_BEATS:   count = read_beats_q;
      moesaic_isa_pkg::REG_COUNTER_WRITE_BEATS:  count = write_beats_q;
      default: begin
        own   = 1'b0;
        count = '0;
      end
    endcase
  end
  assign s_axi_control_rdata = own_q ? count_q : response.rdata;

  always_ff @(posedge clk_i) begin
    if (s_axi_control_arvalid && s_axi_control_arready) begin
      own_q   <= own;
      count_q <= count;
    end

    if (start_q && kernel_ready_i) start_q <= 1'b0;
    if (kernel_done_i) begin
      ended_q   <= 1'b1;
      running_q <= 1'b0;
    end
    if (fault_valid_i) fault_q <= fault_i[3:0];
    if (fault_unit_valid_i) fault_unit_q <= fault_unit_i[2:0];
    if (fault_tag_valid_i) fault_tag_q <= fault_tag_i;
    if (instructions_valid_i) instructions_q <= instructions_i;
    if (matmul_array_valid_i) matmul_array_q <= matmul_array_i;
    if (read_beats_valid_i) read_beats_q <= read_beats_i;
    if (write_beats_valid_i) write_beats_q <= write_beats_i;
    if (start) begin
      start_q        <= 1'b1;
      running_q      <= 1'b1;
      ended_q        <= 1'b0;
      fault_q        <= moesaic_isa_pkg::FAULT_NONE;
      instructions_q <= '0;
      matmul_array_q <= '0;
      read_beats_q   <= '0;
      write_beats_q  <= '0;
    end
    if (!rst_ni) begin
      start_q        <= 1'b0;
      running_q      <= 1'b0;
      ended_q        <= 1'b0;
      fault_q        <= moesaic_isa_pkg::FAULT_NONE;
      fault_unit_q   <= '0;
      fault_tag_q    <= '0;
      instructions_q <= '0;
      matmul_array_q <= '0;
      read_beats_q   <= '0;
      write_beats_q  <= '0;
      own_q          <= 1'b0;
    end
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      fault_fits_its_register: assert (!fault_valid_i || fault_i[31:4] == '0);
      fault_unit_fits_its_register: assert (!fault_unit_valid_i || fault_unit_i[31:3] == '0);
    end
  end

  moesaic_handshake_rules #(
      .Width(1)
  ) u_start_rules (
      .clk_i,
      .rst_ni,
      .valid_i  (kernel_start_o),
      .ready_i  (kernel_ready_i),
      .payload_i(1'b1)
  );
`endif

endmodule
