// Counts, for the plan of functional coverage (tests/verify/coverage/plan.toml), in how many cycles each of its points was seen. The counts
// are written to the file +plan_file=, a line "POINT COUNT" each, when the simulation ends. Only simulators that count coverage have it.
module plan_points #(
  parameter int Experts = 16,
  parameter int QueueTokens = 128,
  parameter int LoadPorts = 3
) (
  input logic                     clk_i,
  input logic                     rst_ni,
  // units, as moesaic_isa_pkg numbers them
  input logic [4:0]               busy_i,
  input logic [4:0]               empty_i,
  input logic [4:0]               completed_i,
  input logic [4:0]               dispatch_valid_i,
  input logic [4:0]               dispatch_ready_i,
  input logic [4:0]               fault_older_i,
  input logic [5:0]               fault_i,          // fetch last
  input logic [5:0][3:0]          fault_cause_i,
  input logic                     halt_i,
  input logic                     timeout_i,
  // semaphores
  input logic [4:0][24:0]         wait_mask_i,
  input logic [4:0]               semaphore_stall_i,
  input logic [24:0]              above_zero_i,
  input logic [24:0]              at_most_i,
  input logic [4:0]               overflow_i,
  // the activation memory's clients by unit: 0 matmul, 1 vector, 2 route, 3 store; and 0 matmul, 1 vector, 2 load
  input logic [3:0]               rd_held_i,
  input logic [3:0]               rd_served_i,
  input logic [2:0]               wr_held_i,
  input logic [2:0]               wr_served_i,
  input logic [1:0]               weight_wr_valid_i, // matmul, load
  // the expert queues
  input logic [Experts-1:0][16:0] queue_count_i,
  input logic                     queue_repeat_i,
  input logic                     queue_clear_i
);

  localparam string UnitNames[6] = '{"load", "store", "matmul", "vector", "route", "fetch"};
  localparam string Readers[4] = '{"matmul", "vector", "route", "store"};
  localparam string Writers[3] = '{"matmul", "vector", "load"};

  longint both[5][5], full[5], drained[5], older[5], younger[5];
  longint faults[6][16], lone_faults[6][16];
  longint waited[25], most[25], overflowed[5];
  longint reads[4][4], writes[3][3], weight_conflict;
  longint queue_empty, queue_full, queue_repeat, queue_cleared, timeouts, halted_busy;

  always @(posedge clk_i) begin
    if (rst_ni) begin
      /* verilator lint_off BLKSEQ */
      for (int a = 0; a < 5; a++) begin
        for (int b = 0; b < 5; b++) if (busy_i[a] && busy_i[b]) both[a][b]++;
        if (dispatch_valid_i[a] && !dispatch_ready_i[a]) full[a]++;
        if (empty_i[a] && completed_i[a] == 1'b0) drained[a]++;
        if (overflow_i[a]) overflowed[a]++;
        for (int p = 0; p < 5; p++)
          if (semaphore_stall_i[a] && wait_mask_i[a][5*p+a] && !above_zero_i[5*p+a]) waited[5*p+a]++;
        if (fault_i[a]) begin
          if (fault_older_i[a]) older[a]++;
          else younger[a]++;
        end
      end
      for (int u = 0; u < 6; u++)
        if (fault_i[u]) begin
          if ((busy_i & ~5'(1 << u)) != '0) faults[u][fault_cause_i[u]]++;
          else lone_faults[u][fault_cause_i[u]]++;
        end
      for (int s = 0; s < 25; s++) if (at_most_i[s]) most[s]++;
      for (int a = 0; a < 4; a++) for (int b = 0; b < 4; b++) if (rd_held_i[a] && rd_served_i[b]) reads[a][b]++;
      for (int a = 0; a < 3; a++) for (int b = 0; b < 3; b++) if (wr_held_i[a] && wr_served_i[b]) writes[a][b]++;
      if (&weight_wr_valid_i) weight_conflict++;
      for (int e = 0; e < Experts; e++) begin
        if (queue_count_i[e] == '0) queue_empty++;
        if (queue_count_i[e] == 17'(QueueTokens)) queue_full++;
      end
      if (queue_repeat_i) queue_repeat++;
      if (queue_clear_i) queue_cleared++;
      if (timeout_i) timeouts++;
      if (halt_i && busy_i != '0) halted_busy++;
      /* verilator lint_on BLKSEQ */
    end
  end

  string path;
  int file;

  // Somebody offers and nobody takes.
`define HELD(POINT, NAME, OFFERED, TAKEN) \
  longint POINT; \
  always @(posedge clk_i) if (rst_ni && ((OFFERED) & ~(TAKEN)) != '0) POINT <= POINT + 1; \
  final if ($value$plusargs("plan_file=%s", path)) begin \
    file = $fopen(path, "a"); \
    $fdisplay(file, "held/%s %0d", NAME, POINT); \
    $fclose(file); \
  end

  `HELD(load_act, "load/activation-writes", testbench.u_accelerator.u_load.act_wr_valid_o, testbench.u_accelerator.u_load.act_wr_ready_i)
  `HELD(load_weight, "load/weight-writes", testbench.u_accelerator.u_load.weight_wr_valid_o, testbench.u_accelerator.u_load.weight_wr_ready_i)
  `HELD(load_table, "load/table-writes", testbench.u_accelerator.u_load.table_wr_valid_o, testbench.u_accelerator.u_load.table_wr_ready_i)
  `HELD(store_read, "store/activation-reads", testbench.u_accelerator.u_store.act_rd_valid_o, testbench.u_accelerator.u_store.act_rd_ready_i)
  `HELD(route_read, "route/activation-reads", testbench.u_accelerator.u_route.act_rd_valid_o, testbench.u_accelerator.u_route.act_rd_ready_i)
  `HELD(norm_read, "layer_norm/activation-reads", testbench.u_accelerator.u_vector.u_layer_norm.act_rd_valid_o,
        testbench.u_accelerator.u_vector.u_layer_norm.act_rd_ready_i)
  `HELD(norm_write, "layer_norm/activation-writes", testbench.u_accelerator.u_vector.u_layer_norm.act_wr_valid_o,
        testbench.u_accelerator.u_vector.u_layer_norm.act_wr_ready_i)
  `HELD(softmax_read, "softmax/activation-reads", testbench.u_accelerator.u_vector.u_softmax.act_rd_valid_o,
        testbench.u_accelerator.u_vector.u_softmax.act_rd_ready_i)
  `HELD(softmax_write, "softmax/activation-writes", testbench.u_accelerator.u_vector.u_softmax.act_wr_valid_o,
        testbench.u_accelerator.u_vector.u_softmax.act_wr_ready_i)
  `HELD(operand_read, "operand_fetch/activation-reads", testbench.u_accelerator.u_matmul.u_fetch.rd_valid_o,
        testbench.u_accelerator.u_matmul.u_fetch.rd_ready_i)
  `HELD(address_read, "result_address/activation-reads", testbench.u_accelerator.u_matmul.u_address.rd_valid_o,
        testbench.u_accelerator.u_matmul.u_address.rd_ready_i)
  `HELD(address_request, "result_address/requests", testbench.u_accelerator.u_matmul.u_address.request_valid,
        testbench.u_accelerator.u_matmul.u_address.request_ready)
  `HELD(address_place, "result_address/places", testbench.u_accelerator.u_matmul.u_address.valid_o,
        testbench.u_accelerator.u_matmul.u_address.ready_i)
  `HELD(address_start, "result_address/products", testbench.u_accelerator.u_matmul.u_address.start_valid_i,
        testbench.u_accelerator.u_matmul.u_address.start_ready_o)
  `HELD(address_queue, "result_address/queue-lookups", testbench.u_accelerator.u_matmul.u_address.active_q
        && testbench.u_accelerator.u_matmul.u_address.scatter_q, testbench.u_accelerator.u_matmul.u_address.queue_ready_i)
  `HELD(drain_value, "matmul_drain/values", testbench.u_accelerator.u_matmul.u_writer.value_valid_i,
        testbench.u_accelerator.u_matmul.u_writer.value_ready_o)
  `HELD(matmul_write, "matmul/activation-writes", testbench.u_accelerator.u_matmul.act_wr_valid_o,
        testbench.u_accelerator.u_matmul.act_wr_ready_i)
  `HELD(matmul_keys, "matmul/weight-writes", testbench.u_accelerator.u_matmul.weight_wr_valid_o,
        testbench.u_accelerator.u_matmul.weight_wr_ready_i && (!testbench.u_accelerator.u_matmul.u_writer.to_keys
        || testbench.u_accelerator.u_matmul.u_writer.group_q == testbench.u_accelerator.u_matmul.u_writer.last_group))
  `HELD(issue_load, "issue/load", testbench.u_accelerator.instr_valid[0], testbench.u_accelerator.instr_ready[0])
  `HELD(issue_store, "issue/store", testbench.u_accelerator.instr_valid[1], testbench.u_accelerator.instr_ready[1])
  `HELD(issue_matmul, "issue/matmul", testbench.u_accelerator.instr_valid[2], testbench.u_accelerator.instr_ready[2])
  `HELD(read_address, "bus/fetch-addresses", testbench.read_request.arvalid, testbench.read_response.arready)
  `HELD(read_data, "bus/fetch-data", testbench.read_response.rvalid, testbench.read_request.rready)
  `HELD(write_address, "bus/store-addresses", testbench.write_request.awvalid, testbench.write_response.awready)
  `HELD(write_data, "bus/store-data", testbench.write_request.wvalid, testbench.write_response.wready)
  `HELD(control_write, "control/write-responses", testbench.s_axi_control_bvalid, testbench.s_axi_control_bready)
  `HELD(control_read, "control/read-data", testbench.s_axi_control_rvalid, testbench.s_axi_control_rready)
`undef HELD

  for (genvar p = 0; p < LoadPorts; p++) begin : gen_port
    longint addresses, data;
    moesaic_axi_pkg::read_request_t request;
    moesaic_axi_pkg::read_response_t response;
    assign request  = testbench.load_requests[p];
    assign response = testbench.load_responses[p];
    always @(posedge clk_i) begin
      if (rst_ni && request.arvalid && !response.arready) addresses <= addresses + 1;
      if (rst_ni && response.rvalid && !request.rready) data <= data + 1;
    end
    final
      if ($value$plusargs("plan_file=%s", path)) begin
        file = $fopen(path, "a");
        $fdisplay(file, "held/bus/load-addresses-%0d %0d", p, addresses);
        $fdisplay(file, "held/bus/load-data-%0d %0d", p, data);
        $fclose(file);
      end
  end

  final begin
    if ($value$plusargs("plan_file=%s", path)) begin
      file = $fopen(path, "a");
      for (int a = 0; a < 5; a++) begin
        for (int b = a + 1; b < 5; b++) $fdisplay(file, "busy/%s+%s %0d", UnitNames[a], UnitNames[b], both[a][b]);
        $fdisplay(file, "instruction-queue/full/%s %0d", UnitNames[a], full[a]);
        $fdisplay(file, "instruction-queue/empty/%s %0d", UnitNames[a], drained[a]);
        $fdisplay(file, "semaphore/overflow/%s %0d", UnitNames[a], overflowed[a]);
        $fdisplay(file, "fault/older/%s %0d", UnitNames[a], older[a]);
        $fdisplay(file, "fault/younger/%s %0d", UnitNames[a], younger[a]);
        for (int b = 0; b < 5; b++) begin
          $fdisplay(file, "semaphore/waits-at-zero/%s-to-%s %0d", UnitNames[a], UnitNames[b], waited[5*a+b]);
          $fdisplay(file, "semaphore/at-most/%s-to-%s %0d", UnitNames[a], UnitNames[b], most[5*a+b]);
        end
      end
      for (int u = 0; u < 6; u++)
        for (int c = 0; c < 16; c++) begin
          $fdisplay(file, "fault/beside-others/%s/%0d %0d", UnitNames[u], c, faults[u][c]);
          $fdisplay(file, "fault/alone/%s/%0d %0d", UnitNames[u], c, lone_faults[u][c]);
        end
      for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++) $fdisplay(file, "read-conflict/%s-waits-for-%s %0d", Readers[a], Readers[b], reads[a][b]);
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) $fdisplay(file, "write-conflict/%s-waits-for-%s %0d", Writers[a], Writers[b], writes[a][b]);
      $fdisplay(file, "weight-conflict/load-waits-for-matmul %0d", weight_conflict);
      $fdisplay(file, "expert-queue/empty %0d", queue_empty);
      $fdisplay(file, "expert-queue/full %0d", queue_full);
      $fdisplay(file, "expert-queue/repeated-token %0d", queue_repeat);
      $fdisplay(file, "expert-queue/cleared %0d", queue_cleared);
      $fdisplay(file, "run/timeout %0d", timeouts);
      $fdisplay(file, "run/halted-while-busy %0d", halted_busy);
      $fclose(file);
    end
  end

endmodule
