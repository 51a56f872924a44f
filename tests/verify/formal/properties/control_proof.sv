// moesaic_control as an AXI4-Lite subordinate: the bus rules, and registers that hold what was written to them.
module control_proof (
    input logic                                          clk_i,
    input logic                                          rst_ni,
    input moesaic_axi_pkg::lite_request_t                request_i,
    input logic                                          bus_idle_i,
    input logic                                          end_i,
    input logic                                          units_empty_i,
    input logic [moesaic_isa_pkg::UNITS:0]               fault_i,
    input logic [moesaic_isa_pkg::UNITS:0][3:0]          fault_cause_i,
    input logic [moesaic_isa_pkg::UNITS:0][31:0]         fault_tag_i,
    input logic [moesaic_isa_pkg::UNITS-1:0]             completed_i,
    input logic [moesaic_isa_pkg::COUNTERS-1:0]          event_i,
    input logic [3:0]                                    read_beats_i
);

  moesaic_axi_pkg::lite_response_t response;
  logic irq, core_rst_n, start, halt;
  logic [39:0] constant_base, frame_base;
  logic [31:0] constant_size, frame_size, program_offset, program_size;

  reset_assumed u_reset (.clk_i, .rst_ni);

  moesaic_control #(
      .LoadPorts  (3),
      .Fingerprint(64'h0123_4567_89AB_CDEF)
  ) u_control (
      .clk_i,
      .rst_ni,
      .irq_o           (irq),
      .s_axi_i         (request_i),
      .s_axi_o         (response),
      .core_rst_no     (core_rst_n),
      .start_o         (start),
      .halt_o          (halt),
      .bus_idle_i,
      .end_i,
      .units_empty_i,
      .constant_base_o (constant_base),
      .constant_size_o (constant_size),
      .frame_base_o    (frame_base),
      .frame_size_o    (frame_size),
      .program_offset_o(program_offset),
      .program_size_o  (program_size),
      .fault_i,
      .fault_cause_i,
      .fault_tag_i,
      .completed_i,
      .event_i,
      .read_beats_i
  );

  // Without MAX_CYCLES a run may go on until its cycles wrap, which is 14 s at 300 MHz: no longer ones are looked at.
  always_comb cycles_end_before_they_wrap: assume (u_control.counter_q[moesaic_isa_pkg::COUNTER_CYCLES] < 32'hFFFF_FF00);

  axi_lite_rules u_rules (
      .clk_i,
      .rst_ni,
      .request_i,
      .response_i(response)
  );

  // One register that holds all bits, as written byte by byte: what is read is what was written last.
  logic [31:0] size_q, expected_q;
  logic writes, reads, expects_q;
  assign writes = request_i.awvalid && response.awready && request_i.awaddr[11:2] == moesaic_isa_pkg::REG_FRAME_SIZE[11:2];
  assign reads  = request_i.arvalid && response.arready && request_i.araddr[11:2] == moesaic_isa_pkg::REG_FRAME_SIZE[11:2];

  always_ff @(posedge clk_i) begin
    for (int b = 0; b < 4; b++) if (writes && request_i.wstrb[b]) size_q[8*b+:8] <= request_i.wdata[8*b+:8];
    if (request_i.arvalid && response.arready) begin
      expects_q  <= reads;
      expected_q <= size_q;
    end
    if (!rst_ni) begin
      size_q    <= '0;
      expects_q <= 1'b0;
    end
    if (rst_ni) begin
      responses_are_okay: assert (response.bresp == 2'b00 && response.rresp == 2'b00);                               // A3.4.4
      address_and_data_are_taken_together: assert (response.awready == response.wready);
      register_holds_what_was_written: assert (u_control.frame_size_q == size_q);
      reads_what_was_written: assert (!(response.rvalid && expects_q) || response.rdata == expected_q);
      accepts_only_what_is_offered: assert (!u_control.write_accept_q
          || (request_i.awvalid && request_i.wvalid && !response.bvalid));
      accepts_reads_that_are_offered: assert (!u_control.read_accept_q || (request_i.arvalid && !response.rvalid));
      response_for_each: assert (u_rules.addresses_q == 2'(response.bvalid) && u_rules.datas_q == 2'(response.bvalid)
          && u_rules.reads_q == 2'(response.rvalid));
      start_in_a_run: cover (start);
      ends_stopped: cover (u_control.done_q && u_control.stopped_q);
    end
  end

  // The life of a run: the units are let go only between start and the end, and the reset of the core comes only when the bus is quiet.
  logic released_q, quiet_q;
  always_ff @(posedge clk_i) begin
    released_q <= rst_ni && core_rst_n;
    quiet_q    <= bus_idle_i && halt;
    if (rst_ni) begin
      reset_of_the_core_waits_for_the_bus: assert (!released_q || core_rst_n || quiet_q);
      starts_released: assert (!start || core_rst_n);
      halted_outside_of_a_run: assert (halt == (u_control.state_q == 2'd3 || u_control.state_q == 2'd0));
      outcome_is_open_in_a_run: assert (!(u_control.state_q == 2'd1 || u_control.state_q == 2'd2)
          || !(u_control.stopped_q || u_control.faulted_q));
      release_agrees: assert (core_rst_n == u_control.release_q);
      released_in_order: assert (!u_control.released_q || u_control.release_q);
      idle_is_reset: assert (!(u_control.state_q == 2'd0) || !u_control.release_q);
      run_is_released: assert (u_control.state_q == 2'd0 || u_control.state_q == 2'd1 || u_control.release_q);
    end
  end

endmodule
