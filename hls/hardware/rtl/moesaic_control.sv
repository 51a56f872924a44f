// The register file (AXI4-Lite) and the life of a run.
//
// A run: start latches the windows and the program's place, core_rst_no lets the units go, and the first of done, fault,
// timeout or stop halts the bus masters; when the bus is quiet the units are reset again and the status shows the outcome.
// Registers may be rewritten during a run; they count from the next start on.
module moesaic_control #(
    parameter int unsigned LoadPorts   = 3,
    parameter logic [63:0] Fingerprint = 64'd0
) (
    input  logic clk_i,
    input  logic rst_ni,
    output logic irq_o,

    input  moesaic_axi_pkg::lite_request_t  s_axi_i,
    output moesaic_axi_pkg::lite_response_t s_axi_o,

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

    input  logic [moesaic_isa_pkg::UNITS:0]       fault_i,        // pulses; index as in the register FAULT_UNIT
    input  logic [moesaic_isa_pkg::UNITS:0][3:0]  fault_cause_i,
    input  logic [moesaic_isa_pkg::UNITS:0][31:0] fault_tag_i,
    input  logic [moesaic_isa_pkg::UNITS-1:0]     completed_i,    // instructions completed, one bit per unit
    // Counted events, indexed by moesaic_isa_pkg::COUNTER_*. Ignored: cycles, instructions and read_beats, which are counted here.
    input  logic [moesaic_isa_pkg::COUNTERS-1:0] event_i,
    input  logic [LoadPorts:0]           read_beats_i    // one bit per port that reads
);

  typedef enum logic [1:0] {
    Idle,
    Prepare,
    Run,
    Halt
  } state_t;
  state_t state_q;
  logic release_q, released_q;

  // --- registers ---
  logic irq_enable_q, irq_status_q, done_q, faulted_q, stopped_q;
  logic [3:0] fault_q;
  logic [2:0] fault_unit_q;
  logic [31:0] fault_tag_q;
  logic [39:12] constant_base_q, frame_base_q;
  logic [31:0] constant_size_q, frame_size_q, program_size_q, max_cycles_q;
  logic [31:6] program_offset_q;
  logic [moesaic_isa_pkg::COUNTERS-1:0][31:0] counter_q;

  // The copies that the run in progress uses.
  logic [39:12] run_constant_base_q, run_frame_base_q;
  logic [31:0] run_constant_size_q, run_frame_size_q, run_program_size_q, run_max_cycles_q;
  logic [31:6] run_program_offset_q;

  assign constant_base_o  = {run_constant_base_q, 12'd0};
  assign constant_size_o  = run_constant_size_q;
  assign frame_base_o     = {run_frame_base_q, 12'd0};
  assign frame_size_o     = run_frame_size_q;
  assign program_offset_o = {run_program_offset_q, 6'd0};
  assign program_size_o   = run_program_size_q;
  assign irq_o            = irq_enable_q && irq_status_q;

  // --- AXI4-Lite: a write is accepted when address and data are both there; no combinational path from in to out ---
  logic write_accept_q, read_accept_q, bvalid_q, rvalid_q;
  logic [31:0] rdata_q;
  assign s_axi_o.awready = write_accept_q;
  assign s_axi_o.wready  = write_accept_q;
  assign s_axi_o.bvalid  = bvalid_q;
  assign s_axi_o.bresp   = moesaic_axi_pkg::RESP_OKAY;
  assign s_axi_o.arready = read_accept_q;
  assign s_axi_o.rvalid  = rvalid_q;
  assign s_axi_o.rdata   = rdata_q;
  assign s_axi_o.rresp   = moesaic_axi_pkg::RESP_OKAY;

  function automatic logic [31:0] merge(input logic [31:0] old, input logic [31:0] data, input logic [3:0] strobe);
    for (int i = 0; i < 4; i++) merge[8*i+:8] = strobe[i] ? data[8*i+:8] : old[8*i+:8];
  endfunction

  logic [11:0] write_address, read_address;
  logic [31:0] old_value, new_value, read_value, set_bits;
  assign write_address = {s_axi_i.awaddr[11:2], 2'b00};
  assign read_address  = {s_axi_i.araddr[11:2], 2'b00};
  assign new_value     = merge(old_value, s_axi_i.wdata, s_axi_i.wstrb);
  assign set_bits      = merge('0, s_axi_i.wdata, s_axi_i.wstrb);    // that are written as ones

  always_comb begin
    old_value  = '0;
    read_value = '0;
    case (write_address)
      moesaic_isa_pkg::REG_INTERRUPT_ENABLE:   old_value[moesaic_isa_pkg::BIT_INTERRUPT_ENABLE_DONE] = irq_enable_q;
      moesaic_isa_pkg::REG_CONSTANT_BASE_LOW:  old_value = {constant_base_q[31:12], 12'd0};
      moesaic_isa_pkg::REG_CONSTANT_BASE_HIGH: old_value = {24'd0, constant_base_q[39:32]};
      moesaic_isa_pkg::REG_CONSTANT_SIZE:      old_value = constant_size_q;
      moesaic_isa_pkg::REG_FRAME_BASE_LOW:     old_value = {frame_base_q[31:12], 12'd0};
      moesaic_isa_pkg::REG_FRAME_BASE_HIGH:    old_value = {24'd0, frame_base_q[39:32]};
      moesaic_isa_pkg::REG_FRAME_SIZE:         old_value = frame_size_q;
      moesaic_isa_pkg::REG_PROGRAM_OFFSET:     old_value = {program_offset_q, 6'd0};
      moesaic_isa_pkg::REG_PROGRAM_SIZE:       old_value = program_size_q;
      moesaic_isa_pkg::REG_MAX_CYCLES:         old_value = max_cycles_q;
      default: ;
    endcase
    case (read_address)
      moesaic_isa_pkg::REG_STATUS: begin
        read_value[moesaic_isa_pkg::BIT_STATUS_BUSY]    = state_q != Idle;
        read_value[moesaic_isa_pkg::BIT_STATUS_DONE]    = done_q;
        read_value[moesaic_isa_pkg::BIT_STATUS_FAULT]   = faulted_q;
        read_value[moesaic_isa_pkg::BIT_STATUS_STOPPED] = stopped_q;
      end
      moesaic_isa_pkg::REG_FAULT:              read_value = {28'd0, fault_q};
      moesaic_isa_pkg::REG_FAULT_UNIT:         read_value = {29'd0, fault_unit_q};
      moesaic_isa_pkg::REG_FAULT_TAG:          read_value = fault_tag_q;
      moesaic_isa_pkg::REG_INTERRUPT_ENABLE:   read_value[moesaic_isa_pkg::BIT_INTERRUPT_ENABLE_DONE] = irq_enable_q;
      moesaic_isa_pkg::REG_INTERRUPT_STATUS:   read_value[moesaic_isa_pkg::BIT_INTERRUPT_STATUS_DONE] = irq_status_q;
      moesaic_isa_pkg::REG_FINGERPRINT_LOW:    read_value = Fingerprint[31:0];
      moesaic_isa_pkg::REG_FINGERPRINT_HIGH:   read_value = Fingerprint[63:32];
      moesaic_isa_pkg::REG_CONSTANT_BASE_LOW:  read_value = {constant_base_q[31:12], 12'd0};
      moesaic_isa_pkg::REG_CONSTANT_BASE_HIGH: read_value = {24'd0, constant_base_q[39:32]};
      moesaic_isa_pkg::REG_CONSTANT_SIZE:      read_value = constant_size_q;
      moesaic_isa_pkg::REG_FRAME_BASE_LOW:     read_value = {frame_base_q[31:12], 12'd0};
      moesaic_isa_pkg::REG_FRAME_BASE_HIGH:    read_value = {24'd0, frame_base_q[39:32]};
      moesaic_isa_pkg::REG_FRAME_SIZE:         read_value = frame_size_q;
      moesaic_isa_pkg::REG_PROGRAM_OFFSET:     read_value = {program_offset_q, 6'd0};
      moesaic_isa_pkg::REG_PROGRAM_SIZE:       read_value = program_size_q;
      moesaic_isa_pkg::REG_MAX_CYCLES:         read_value = max_cycles_q;
      default: begin
        for (int i = 0; i < moesaic_isa_pkg::COUNTERS; i++)
          if (read_address == moesaic_isa_pkg::REG_COUNTER_CYCLES + 12'(4 * i)) read_value = counter_q[i];
      end
    endcase
  end

  // --- the run ---
  logic write_control, start, stop_q, finished, timeout;
  logic [moesaic_isa_pkg::UNITS:0] fault;
  logic [2:0] fault_unit;
  logic [3:0] fault_cause;
  logic [31:0] fault_tag;

  assign write_control = write_accept_q && write_address == moesaic_isa_pkg::REG_CONTROL;
  assign start         = write_control && state_q == Idle && set_bits[moesaic_isa_pkg::BIT_CONTROL_START];

  assign finished = end_i && units_empty_i;
  assign timeout  = run_max_cycles_q != '0 && counter_q[moesaic_isa_pkg::COUNTER_CYCLES] >= run_max_cycles_q;
  assign fault    = fault_i;

  always_comb begin
    fault_unit  = 3'(moesaic_isa_pkg::UNIT_FETCH);
    fault_cause = moesaic_isa_pkg::FAULT_TIMEOUT;
    fault_tag   = '0;
    for (int u = int'(moesaic_isa_pkg::UNITS); u >= 0; u--) begin
      if (fault[u]) begin
        fault_unit  = 3'(u);
        fault_cause = fault_cause_i[u];
        fault_tag   = fault_tag_i[u];
      end
    end
  end

  // Registers are random before the first clock edge: the units are held by the outer reset too.
  assign core_rst_no = rst_ni && release_q;
  assign start_o     = state_q == Prepare && released_q;
  // Until the copies of the reset hold the units, a cycle after the bus was idle, they must not ask for more.
  assign halt_o      = state_q == Halt || state_q == Idle;

  logic [2:0] completed, read_beats;
  always_comb begin
    completed = '0;
    for (int u = 0; u < int'(moesaic_isa_pkg::UNITS); u++) completed += 3'(completed_i[u]);
    read_beats = '0;
    for (int p = 0; p <= int'(LoadPorts); p++) read_beats += 3'(read_beats_i[p]);
  end

  always_ff @(posedge clk_i) begin
    write_accept_q <= s_axi_i.awvalid && s_axi_i.wvalid && !write_accept_q && !bvalid_q;
    if (write_accept_q) bvalid_q <= 1'b1;
    else if (s_axi_i.bready) bvalid_q <= 1'b0;
    read_accept_q <= s_axi_i.arvalid && !read_accept_q && !rvalid_q;
    if (read_accept_q) begin
      rvalid_q <= 1'b1;
      rdata_q  <= read_value;
    end else if (s_axi_i.rready) begin
      rvalid_q <= 1'b0;
    end

    if (write_accept_q) begin
      case (write_address)
        moesaic_isa_pkg::REG_INTERRUPT_ENABLE:   irq_enable_q <= new_value[moesaic_isa_pkg::BIT_INTERRUPT_ENABLE_DONE];
        moesaic_isa_pkg::REG_INTERRUPT_STATUS:   if (set_bits[moesaic_isa_pkg::BIT_INTERRUPT_STATUS_DONE]) irq_status_q <= 1'b0;
        moesaic_isa_pkg::REG_CONSTANT_BASE_LOW:  constant_base_q[31:12] <= new_value[31:12];
        moesaic_isa_pkg::REG_CONSTANT_BASE_HIGH: constant_base_q[39:32] <= new_value[7:0];
        moesaic_isa_pkg::REG_CONSTANT_SIZE:      constant_size_q <= new_value;
        moesaic_isa_pkg::REG_FRAME_BASE_LOW:     frame_base_q[31:12] <= new_value[31:12];
        moesaic_isa_pkg::REG_FRAME_BASE_HIGH:    frame_base_q[39:32] <= new_value[7:0];
        moesaic_isa_pkg::REG_FRAME_SIZE:         frame_size_q <= new_value;
        moesaic_isa_pkg::REG_PROGRAM_OFFSET:     program_offset_q <= new_value[31:6];
        moesaic_isa_pkg::REG_PROGRAM_SIZE:       program_size_q <= new_value;
        moesaic_isa_pkg::REG_MAX_CYCLES:         max_cycles_q <= new_value;
        default: ;
      endcase
    end

    if (state_q == Run) begin
      for (int i = 0; i < moesaic_isa_pkg::COUNTERS; i++) counter_q[i] <= counter_q[i] + 32'(event_i[i]);
      counter_q[moesaic_isa_pkg::COUNTER_CYCLES] <= counter_q[moesaic_isa_pkg::COUNTER_CYCLES] + 32'd1;
      counter_q[moesaic_isa_pkg::COUNTER_INSTRUCTIONS] <=
          counter_q[moesaic_isa_pkg::COUNTER_INSTRUCTIONS] + 32'(completed) + 32'(finished);
      counter_q[moesaic_isa_pkg::COUNTER_READ_BEATS] <= counter_q[moesaic_isa_pkg::COUNTER_READ_BEATS] + 32'(read_beats);
    end

    // Kept until the run ends: it may be asked for before the units have been let go.
    if (write_control && set_bits[moesaic_isa_pkg::BIT_CONTROL_STOP]) stop_q <= 1'b1;

    unique case (state_q)
      Idle: begin
        stop_q <= 1'b0;
        if (start) begin
          state_q              <= Prepare;
          run_constant_base_q  <= constant_base_q;
          run_constant_size_q  <= constant_size_q;
          run_frame_base_q     <= frame_base_q;
          run_frame_size_q     <= frame_size_q;
          run_program_offset_q <= program_offset_q;
          run_program_size_q   <= program_size_q;
          run_max_cycles_q     <= max_cycles_q;
          counter_q            <= '0;
          done_q               <= 1'b0;
          faulted_q            <= 1'b0;
          stopped_q            <= 1'b0;
          fault_q              <= moesaic_isa_pkg::FAULT_NONE;
          fault_unit_q         <= '0;
          fault_tag_q          <= '0;
        end
      end
      Prepare: begin
        release_q  <= 1'b1;
        released_q <= release_q;
        if (released_q) state_q <= Run;
      end
      Run: begin
        if (fault != '0 || timeout) begin
          state_q      <= Halt;
          faulted_q    <= 1'b1;
          fault_q      <= fault_cause;
          fault_unit_q <= fault_unit;
          fault_tag_q  <= fault_tag;
        end else if (finished) begin
          state_q <= Halt;
        end else if (stop_q) begin
          state_q   <= Halt;
          stopped_q <= 1'b1;
        end
      end
      Halt: begin
        if (bus_idle_i) begin
          state_q      <= Idle;
          release_q    <= 1'b0;
          released_q   <= 1'b0;
          done_q       <= 1'b1;
          irq_status_q <= 1'b1;
        end
      end
    endcase

    if (!rst_ni) begin
      state_q          <= Idle;
      release_q        <= 1'b0;
      released_q       <= 1'b0;
      write_accept_q   <= 1'b0;
      read_accept_q    <= 1'b0;
      bvalid_q         <= 1'b0;
      rvalid_q         <= 1'b0;
      irq_enable_q     <= 1'b0;
      irq_status_q     <= 1'b0;
      stop_q           <= 1'b0;
      done_q           <= 1'b0;
      faulted_q        <= 1'b0;
      stopped_q        <= 1'b0;
      fault_q          <= moesaic_isa_pkg::FAULT_NONE;
      fault_unit_q     <= '0;
      fault_tag_q      <= '0;
      constant_base_q  <= '0;
      constant_size_q  <= '0;
      frame_base_q     <= '0;
      frame_size_q     <= '0;
      program_offset_q <= '0;
      program_size_q   <= '0;
      max_cycles_q     <= '0;
      counter_q        <= '0;
    end
  end

`ifndef SYNTHESIS
  logic armed;
  moesaic_assertions_armed u_armed (.clk_i, .rst_ni, .armed_o(armed));
  always_ff @(posedge clk_i) begin
    if (armed) begin
      cycles_never_wrap: assert (state_q != Run || counter_q[moesaic_isa_pkg::COUNTER_CYCLES] != '1);
      runs_only_while_released: assert (release_q || state_q == Idle || state_q == Prepare);
      stopped_or_faulted: assert (!(stopped_q && faulted_q));
    end
  end

  moesaic_handshake_rules #(
      .Width($bits(s_axi_o.bresp))
  ) u_write_rules (
      .clk_i,
      .rst_ni,
      .valid_i  (s_axi_o.bvalid),
      .ready_i  (s_axi_i.bready),
      .payload_i(s_axi_o.bresp)
  );

  moesaic_handshake_rules #(
      .Width($bits({s_axi_o.rdata, s_axi_o.rresp}))
  ) u_read_rules (
      .clk_i,
      .rst_ni,
      .valid_i  (s_axi_o.rvalid),
      .ready_i  (s_axi_i.rready),
      .payload_i({s_axi_o.rdata, s_axi_o.rresp})
  );
`endif

endmodule
