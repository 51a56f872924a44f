// Reports what the units do to recorder.cpp: one call per event, which is nothing beside the cost of a simulated cycle.
//
// A unit's state and events are those of the cycle that ends at the clock edge; cycle 0 is the first of a run, as in the
// counter of cycles. Units are numbered as in the instruction set, and fetch is the last. sim/measurements/timeline/timeline.py reads the records
// and knows the same numbers of events and states.
module recorder #(
    parameter int unsigned Ports = 4           // of the DRAM model
) (
    input logic clk_i,
    input logic start_i,                       // the run begins in the next cycle
    input logic halt_i,                        // the run has ended
    input logic [moesaic_isa_pkg::UNITS-1:0] accept_i,                // fetch hands the unit an instruction, which waits in the unit's queue
    input logic [moesaic_isa_pkg::UNITS-1:0] take_i,                  // the unit starts its oldest instruction
    input logic [moesaic_isa_pkg::UNITS-1:0] done_i,                  // the unit has completed its oldest instruction
    input logic [moesaic_isa_pkg::UNITS-1:0] busy_i,
    input logic [moesaic_isa_pkg::UNITS-1:0] semaphore_stall_i,
    input logic load_dram_stall_i,
    input logic store_dram_stall_i,
    input logic operand_stall_i,
    input logic drain_stall_i,
    input logic array_i,                       // the array multiplies
    input logic fetch_valid_i,                 // fetch has an instruction to hand out
    input logic fetch_end_i                    // fetch has handed out all
);

  import "DPI-C" function void recorder_event(
    input int  ports,
    input int  kind,
    input int  unit,
    input int  state,
    input int  cycle,
    input int  array_cycles
  );

  localparam int Units       = int'(moesaic_isa_pkg::UNITS) + 1;
  localparam int Load        = int'(moesaic_isa_pkg::UNIT_LOAD);
  localparam int Store       = int'(moesaic_isa_pkg::UNIT_STORE);
  localparam int Matmul      = int'(moesaic_isa_pkg::UNIT_MATMUL);
  localparam int Fetch       = int'(moesaic_isa_pkg::UNIT_FETCH);
  localparam int SampleEvery = 1000;

  typedef enum int {Accept, Take, Done, State, Sample, End, Array} kind_t;
  typedef enum logic [2:0] {Empty, Working, Semaphores, Dram, Operands, Drain, QueueFull} state_t;

  state_t [Units-1:0] state, state_q;
  logic running_q, array_q;
  int cycle_q, until_sample_q, array_cycles_q;

  always_comb begin
    for (int u = 0; u < Fetch; u++) begin
      state[u] = Empty;
      if (semaphore_stall_i[u]) state[u] = Semaphores;
      if (busy_i[u]) state[u] = Working;
    end
    if (busy_i[Load] && load_dram_stall_i) state[Load] = Dram;
    if (busy_i[Store] && store_dram_stall_i) state[Store] = Dram;
    if (busy_i[Matmul] && operand_stall_i) state[Matmul] = Operands;
    if (busy_i[Matmul] && drain_stall_i) state[Matmul] = Drain;
    state[Fetch] = Dram;
    if (fetch_valid_i) state[Fetch] = accept_i == '0 ? QueueFull : Working;
    if (fetch_end_i) state[Fetch] = Empty;
  end

  always @(posedge clk_i) begin
    if (running_q) begin
      for (int u = 0; u < Units; u++) begin
        if (state[u] != state_q[u])
          recorder_event(int'(Ports), State, u, {29'd0, state[u]}, cycle_q, array_cycles_q);
      end
      if ((accept_i | take_i | done_i) != '0) begin
        for (int u = 0; u < Fetch; u++) begin
          if (accept_i[u]) recorder_event(int'(Ports), Accept, u, 0, cycle_q, array_cycles_q);
          if (done_i[u]) recorder_event(int'(Ports), Done, u, 0, cycle_q, array_cycles_q);
          if (take_i[u]) recorder_event(int'(Ports), Take, u, 0, cycle_q, array_cycles_q);
        end
      end
      if (array_i != array_q) recorder_event(int'(Ports), Array, Matmul, 0, cycle_q, array_cycles_q);
      if (until_sample_q == 0) recorder_event(int'(Ports), Sample, 0, 0, cycle_q, array_cycles_q);
      if (halt_i) recorder_event(int'(Ports), End, 0, 0, cycle_q, array_cycles_q);
      state_q        <= state;
      array_q        <= array_i;
      cycle_q        <= cycle_q + 1;
      until_sample_q <= until_sample_q == 0 ? SampleEvery - 1 : until_sample_q - 1;
      array_cycles_q <= array_cycles_q + {31'd0, array_i};
      running_q      <= !halt_i;
    end
    if (start_i) begin
      for (int u = 0; u < Units; u++) state_q[u] <= Empty;
      array_q        <= 1'b0;
      cycle_q        <= 0;
      until_sample_q <= 0;
      array_cycles_q <= 0;
      running_q      <= 1'b1;
    end
  end

  initial running_q = 1'b0;

endmodule
