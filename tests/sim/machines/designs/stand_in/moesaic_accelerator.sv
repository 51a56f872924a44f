// Stands in for the accelerator in tests of the executor: the real register file, and a run that copies four beats.
//
// It reads four beats at the program's place through the last port of m_axi_load and one beat there through m_axi_main, and writes the four,
// each XORed with the one, to the start of the frame window. A program of 128 bytes never ends; one of 192 bytes drops a
// valid, which kills the simulation; one of 256 bytes loses the interrupt.
module moesaic_accelerator #(
  parameter int unsigned TileRows = 0,
  parameter int unsigned TileColumns = 0,
  parameter int unsigned TileDepth = 0,
  parameter int unsigned NormLanes = 0,
  parameter int unsigned ActPorts = 0,
  parameter int unsigned LoadPorts = 1,
  parameter int unsigned ActBytes = 0,
  parameter int unsigned ActBanks = 0,
  parameter int unsigned ActUltraBytes = 0,
  parameter int unsigned SharedBytes = 0,
  parameter int unsigned WeightBytes = 0,
  parameter int unsigned RowEntries = 0,
  parameter int unsigned QueueTokens = 0,
  parameter int unsigned Experts = 0,
  parameter int unsigned InstructionQueue = 0,
  parameter logic [63:0] Fingerprint = 64'd0
) (
  input  logic         clk_i,
  input  logic         rst_ni,
  output logic         irq_o,

  input  logic [11:0]  s_axi_control_awaddr,
  input  logic [2:0]   s_axi_control_awprot,
  input  logic         s_axi_control_awvalid,
  output logic         s_axi_control_awready,
  input  logic [31:0]  s_axi_control_wdata,
  input  logic [3:0]   s_axi_control_wstrb,
  input  logic         s_axi_control_wvalid,
  output logic         s_axi_control_wready,
  output logic [1:0]   s_axi_control_bresp,
  output logic         s_axi_control_bvalid,
  input  logic         s_axi_control_bready,
  input  logic [11:0]  s_axi_control_araddr,
  input  logic [2:0]   s_axi_control_arprot,
  input  logic         s_axi_control_arvalid,
  output logic         s_axi_control_arready,
  output logic [31:0]  s_axi_control_rdata,
  output logic [1:0]   s_axi_control_rresp,
  output logic         s_axi_control_rvalid,
  input  logic         s_axi_control_rready,

  output logic [LoadPorts-1:0][39:0]  m_axi_load_araddr,
  output logic [LoadPorts-1:0][7:0]   m_axi_load_arlen,
  output logic [LoadPorts-1:0][2:0]   m_axi_load_arsize,
  output logic [LoadPorts-1:0][1:0]   m_axi_load_arburst,
  output logic [LoadPorts-1:0][3:0]   m_axi_load_arcache,
  output logic [LoadPorts-1:0][2:0]   m_axi_load_arprot,
  output logic [LoadPorts-1:0]        m_axi_load_arvalid,
  input  logic [LoadPorts-1:0]        m_axi_load_arready,
  input  logic [LoadPorts-1:0][127:0] m_axi_load_rdata,
  input  logic [LoadPorts-1:0][1:0]   m_axi_load_rresp,
  input  logic [LoadPorts-1:0]        m_axi_load_rlast,
  input  logic [LoadPorts-1:0]        m_axi_load_rvalid,
  output logic [LoadPorts-1:0]        m_axi_load_rready,

  output logic [39:0]  m_axi_main_araddr,
  output logic [7:0]   m_axi_main_arlen,
  output logic [2:0]   m_axi_main_arsize,
  output logic [1:0]   m_axi_main_arburst,
  output logic [3:0]   m_axi_main_arcache,
  output logic [2:0]   m_axi_main_arprot,
  output logic         m_axi_main_arvalid,
  input  logic         m_axi_main_arready,
  input  logic [127:0] m_axi_main_rdata,
  input  logic [1:0]   m_axi_main_rresp,
  input  logic         m_axi_main_rlast,
  input  logic         m_axi_main_rvalid,
  output logic         m_axi_main_rready,
  output logic [39:0]  m_axi_main_awaddr,
  output logic [7:0]   m_axi_main_awlen,
  output logic [2:0]   m_axi_main_awsize,
  output logic [1:0]   m_axi_main_awburst,
  output logic [3:0]   m_axi_main_awcache,
  output logic [2:0]   m_axi_main_awprot,
  output logic         m_axi_main_awvalid,
  input  logic         m_axi_main_awready,
  output logic [127:0] m_axi_main_wdata,
  output logic [15:0]  m_axi_main_wstrb,
  output logic         m_axi_main_wlast,
  output logic         m_axi_main_wvalid,
  input  logic         m_axi_main_wready,
  input  logic [1:0]   m_axi_main_bresp,
  input  logic         m_axi_main_bvalid,
  output logic         m_axi_main_bready
);

  typedef enum logic [3:0] {Idle, LoadAddress, LoadData, MainAddress, MainData, WriteAddress, WriteData, WriteEnd, Done, Drop} state_t;
  state_t state_q;

  logic core_rst_n, start, halt, irq;
  logic [39:0] constant_base, frame_base;
  logic [31:0] constant_size, frame_size, program_offset, program_size;
  logic [5:0] fault;
  logic [5:0][3:0] fault_cause;
  logic [5:0][31:0] fault_tag;
  logic [moesaic_isa_pkg::COUNTERS-1:0] counted;
  logic [3:0][127:0] beats_q;
  logic [127:0] key_q;
  logic [1:0] index_q;
  logic error_q;

  // What the recorder reads of an accelerator: this one has no units.
  logic [4:0] dispatch_valid, dispatch_ready, take, completed, busy, semaphore_stall;
  logic end_reached;
  assign {dispatch_valid, dispatch_ready, take, completed, busy, semaphore_stall} = '0;
  assign end_reached = state_q == Done;

  assign irq_o = irq && program_size != 32'd256;

  localparam int Last = int'(LoadPorts) - 1;
  logic [LoadPorts:0] read_beats;

  moesaic_control #(.LoadPorts(LoadPorts), .Fingerprint(Fingerprint)) i_control (
    .clk_i, .rst_ni, .irq_o(irq),
    .s_axi_awaddr(s_axi_control_awaddr), .s_axi_awprot(s_axi_control_awprot), .s_axi_awvalid(s_axi_control_awvalid),
    .s_axi_awready(s_axi_control_awready), .s_axi_wdata(s_axi_control_wdata), .s_axi_wstrb(s_axi_control_wstrb),
    .s_axi_wvalid(s_axi_control_wvalid), .s_axi_wready(s_axi_control_wready), .s_axi_bresp(s_axi_control_bresp),
    .s_axi_bvalid(s_axi_control_bvalid), .s_axi_bready(s_axi_control_bready), .s_axi_araddr(s_axi_control_araddr),
    .s_axi_arprot(s_axi_control_arprot), .s_axi_arvalid(s_axi_control_arvalid),
    .s_axi_arready(s_axi_control_arready), .s_axi_rdata(s_axi_control_rdata), .s_axi_rresp(s_axi_control_rresp),
    .s_axi_rvalid(s_axi_control_rvalid), .s_axi_rready(s_axi_control_rready),
    .core_rst_no(core_rst_n), .start_o(start), .halt_o(halt), .bus_idle_i(state_q == Idle || state_q == Done),
    .end_i(end_reached), .units_empty_i(1'b1), .constant_base_o(constant_base), .constant_size_o(constant_size),
    .frame_base_o(frame_base), .frame_size_o(frame_size), .program_offset_o(program_offset),
    .program_size_o(program_size), .fault_i(fault), .fault_cause_i(fault_cause), .fault_tag_i(fault_tag),
    .completed_i(completed), .event_i(counted), .read_beats_i(read_beats)
  );

  always_comb begin
    m_axi_load_araddr = '0;
    m_axi_load_arlen = '0;
    m_axi_load_arsize = '0;
    m_axi_load_arburst = '0;
    m_axi_load_arcache = '0;
    m_axi_load_arprot = '0;
    m_axi_load_arvalid = '0;
    m_axi_load_rready = '0;
    m_axi_load_araddr[Last] = constant_base + 40'(program_offset);
    m_axi_load_arlen[Last] = 8'd3;
    m_axi_load_arsize[Last] = 3'd4;
    m_axi_load_arburst[Last] = 2'd1;
    m_axi_load_arcache[Last] = 4'b0011;
    m_axi_load_arvalid[Last] = state_q == LoadAddress;
    m_axi_load_rready[Last] = state_q == LoadData;
  end
  assign m_axi_main_araddr = m_axi_load_araddr[Last];
  assign m_axi_main_arlen = 8'd0;
  assign m_axi_main_arsize = 3'd4;
  assign m_axi_main_arburst = 2'd1;
  assign m_axi_main_arcache = 4'b0011;
  assign m_axi_main_arprot = 3'd0;
  assign m_axi_main_arvalid = state_q == MainAddress;
  assign m_axi_main_rready = state_q == MainData;
  assign m_axi_main_awaddr = frame_base;
  assign m_axi_main_awlen = 8'd3;
  assign m_axi_main_awsize = 3'd4;
  assign m_axi_main_awburst = 2'd1;
  assign m_axi_main_awcache = 4'b0011;
  assign m_axi_main_awprot = 3'd0;
  assign m_axi_main_awvalid = state_q == WriteAddress;
  assign m_axi_main_wdata = beats_q[index_q] ^ key_q;
  assign m_axi_main_wstrb = '1;
  assign m_axi_main_wlast = index_q == 2'd3;
  assign m_axi_main_wvalid = state_q == WriteData || (state_q == Drop && index_q == 2'd0);
  assign m_axi_main_bready = state_q == WriteEnd;

  always_comb begin
    fault = '0;
    fault_cause = '0;
    fault_tag = '0;
    if (state_q == LoadData && m_axi_load_rvalid[Last] && m_axi_load_rresp[Last] != 2'd0) fault[0] = 1'b1;
    if (state_q == WriteEnd && m_axi_main_bvalid && m_axi_main_bresp != 2'd0) fault[1] = 1'b1;
    fault_cause[0] = moesaic_isa_pkg::FAULT_AXI_READ;
    fault_cause[1] = moesaic_isa_pkg::FAULT_AXI_WRITE;
    fault_tag[0] = 32'd17;
    fault_tag[1] = 32'd18;
    counted = '0;
    read_beats = {m_axi_main_rvalid && m_axi_main_rready, m_axi_load_rvalid & m_axi_load_rready};
    counted[moesaic_isa_pkg::COUNTER_WRITE_BEATS] = m_axi_main_wvalid && m_axi_main_wready;
  end

  always_ff @(posedge clk_i) begin
    case (state_q)
      Idle: if (start) state_q <= program_size == 32'd192 ? Drop : LoadAddress;
      LoadAddress: if (m_axi_load_arready[Last]) state_q <= LoadData;
      LoadData: if (m_axi_load_rvalid[Last]) begin
        beats_q[index_q] <= m_axi_load_rdata[Last];
        index_q <= index_q + 2'd1;
        error_q <= error_q || m_axi_load_rresp[Last] != 2'd0;
        if (m_axi_load_rlast[Last]) state_q <= error_q || halt ? Done : MainAddress;
      end
      MainAddress: if (m_axi_main_arready) state_q <= MainData;
      MainData: if (m_axi_main_rvalid) begin
        key_q <= m_axi_main_rdata;
        state_q <= WriteAddress;
      end
      WriteAddress: if (m_axi_main_awready) state_q <= WriteData;
      WriteData: if (m_axi_main_wready) begin
        index_q <= index_q + 2'd1;
        if (index_q == 2'd3) state_q <= WriteEnd;
      end
      WriteEnd: if (m_axi_main_bvalid) state_q <= program_size == 32'd128 ? Idle : Done;
      Drop: index_q <= index_q + 2'd1;
      default: ;
    endcase
    if (!core_rst_n) begin
      state_q <= Idle;
      index_q <= '0;
      error_q <= 1'b0;
    end
  end

endmodule
