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
  parameter bit WeightUltra = 1'b1,
  parameter int unsigned RowEntries = 0,
  parameter int unsigned QueueTokens = 0,
  parameter int unsigned Experts = 0,
  parameter int unsigned InstructionQueue = 0,
  parameter logic [63:0] Fingerprint = 64'd0
) (
  input  logic         clk_i,
  input  logic         rst_ni,
  output logic         irq_o,

  input  moesaic_axi_pkg::lite_request_t  s_axi_control_i,
  output moesaic_axi_pkg::lite_response_t s_axi_control_o,

  output logic [LoadPorts-1:0][moesaic_axi_pkg::READ_REQUEST_BITS-1:0]  m_axi_load_o,
  input  logic [LoadPorts-1:0][moesaic_axi_pkg::READ_RESPONSE_BITS-1:0] m_axi_load_i,

  output moesaic_axi_pkg::read_request_t   m_axi_main_read_o,
  input  moesaic_axi_pkg::read_response_t  m_axi_main_read_i,
  output moesaic_axi_pkg::write_request_t  m_axi_main_write_o,
  input  moesaic_axi_pkg::write_response_t m_axi_main_write_i
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
    .s_axi_i(s_axi_control_i), .s_axi_o(s_axi_control_o),
    .core_rst_no(core_rst_n), .start_o(start), .halt_o(halt), .bus_idle_i(state_q == Idle || state_q == Done),
    .end_i(end_reached), .units_empty_i(1'b1), .constant_base_o(constant_base), .constant_size_o(constant_size),
    .frame_base_o(frame_base), .frame_size_o(frame_size), .program_offset_o(program_offset),
    .program_size_o(program_size), .fault_i(fault), .fault_cause_i(fault_cause), .fault_tag_i(fault_tag),
    .completed_i(completed), .event_i(counted), .read_beats_i(read_beats)
  );

  // Of the load ports only the last one is used.
  moesaic_axi_pkg::read_request_t request;
  moesaic_axi_pkg::read_response_t response;
  assign request.ar = moesaic_axi_pkg::burst(constant_base + 40'(program_offset), 8'd3);
  assign request.arvalid = state_q == LoadAddress;
  assign request.rready = state_q == LoadData;
  assign response = m_axi_load_i[Last];
  always_comb begin
    m_axi_load_o = '0;
    m_axi_load_o[Last] = request;
  end

  assign m_axi_main_read_o.ar = moesaic_axi_pkg::burst(constant_base + 40'(program_offset), 8'd0);
  assign m_axi_main_read_o.arvalid = state_q == MainAddress;
  assign m_axi_main_read_o.rready = state_q == MainData;
  assign m_axi_main_write_o.aw = moesaic_axi_pkg::burst(frame_base, 8'd3);
  assign m_axi_main_write_o.awvalid = state_q == WriteAddress;
  assign m_axi_main_write_o.w.data = beats_q[index_q] ^ key_q;
  assign m_axi_main_write_o.w.strb = '1;
  assign m_axi_main_write_o.w.last = index_q == 2'd3;
  assign m_axi_main_write_o.wvalid = state_q == WriteData || (state_q == Drop && index_q == 2'd0);
  assign m_axi_main_write_o.bready = state_q == WriteEnd;

  always_comb begin
    fault = '0;
    fault_cause = '0;
    fault_tag = '0;
    if (state_q == LoadData && response.rvalid && response.r.resp != 2'd0) fault[0] = 1'b1;
    if (state_q == WriteEnd && m_axi_main_write_i.bvalid && m_axi_main_write_i.bresp != 2'd0) fault[1] = 1'b1;
    fault_cause[0] = moesaic_isa_pkg::FAULT_AXI_READ;
    fault_cause[1] = moesaic_isa_pkg::FAULT_AXI_WRITE;
    fault_tag[0] = 32'd17;
    fault_tag[1] = 32'd18;
    counted = '0;
    read_beats = {m_axi_main_read_i.rvalid && m_axi_main_read_o.rready, (LoadPorts)'(response.rvalid && request.rready) << Last};
    counted[moesaic_isa_pkg::COUNTER_WRITE_BEATS] = m_axi_main_write_o.wvalid && m_axi_main_write_i.wready;
  end

  always_ff @(posedge clk_i) begin
    case (state_q)
      Idle: if (start) state_q <= program_size == 32'd192 ? Drop : LoadAddress;
      LoadAddress: if (response.arready) state_q <= LoadData;
      LoadData: if (response.rvalid) begin
        beats_q[index_q] <= response.r.data;
        index_q <= index_q + 2'd1;
        error_q <= error_q || response.r.resp != 2'd0;
        if (response.r.last) state_q <= error_q || halt ? Done : MainAddress;
      end
      MainAddress: if (m_axi_main_read_i.arready) state_q <= MainData;
      MainData: if (m_axi_main_read_i.rvalid) begin
        key_q <= m_axi_main_read_i.r.data;
        state_q <= WriteAddress;
      end
      WriteAddress: if (m_axi_main_write_i.awready) state_q <= WriteData;
      WriteData: if (m_axi_main_write_i.wready) begin
        index_q <= index_q + 2'd1;
        if (index_q == 2'd3) state_q <= WriteEnd;
      end
      WriteEnd: if (m_axi_main_write_i.bvalid) state_q <= program_size == 32'd128 ? Idle : Done;
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
