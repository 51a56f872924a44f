// The accelerator as Yosys wrote it, behind a memory of the bench's own, run once by a master that writes its registers; for Verilator
// and for Icarus.
//
// Whatever a signal does not promise is unknown here: read data between beats, register addresses and data between accesses. In four
// states an X on an output that a handshake or a beat promises is counted, and so are those that the netlist's own probes see
// (probes.py). The constant and the frame window come as hexadecimal words of 16 bytes; the frame goes back the same way, with x where
// an unknown value was written.
//
// The memory answers reads in order, a beat a cycle, the first one +latency=N cycles after the address; +seed=N other than 0 draws
// latencies and pauses. Its words are those of the two windows; every other address stops the simulation.
`timescale 1ns / 1ps
module netlist_bench #(
    parameter LoadPorts = 3,
    parameter WindowWords = 1 << 20,                // 16-byte words that each window may have
    parameter [39:0] ConstantBase = 40'h0_2000_0000,
    parameter [39:0] FrameBase = 40'h8_7654_3000,
    parameter Registers = 84                        // 32-bit words of the register file that are read in the end
);

  localparam Ports = LoadPorts + 1;                 // the last one also writes
  localparam Outstanding = 16;

  reg clk = 1'b0;
  reg rst_n = 1'b0;
  // Whether what the netlist shows is judged: from the end of reset on.
  reg judged = 1'b0;
  integer unknowns = 0;
  integer latency = 60;
  integer seed = 0;
  integer max_cycles = 1000000;
  integer cycle = 0;
  reg [31:0] constant_words, frame_words, program_offset, program_size, random_state;

  reg [127:0] constants[0:WindowWords-1];
  reg [127:0] frame[0:WindowWords-1];

  always #1 clk = !clk;
  always @(posedge clk) cycle <= cycle + 1;

  // --- the accelerator ---
  reg  [11:0] awaddr, araddr;
  reg  [31:0] wdata;
  reg  [3:0]  wstrb;
  reg         awvalid = 1'b0, wvalid = 1'b0, arvalid = 1'b0;
  wire        bready = 1'b1, rready = 1'b1;
  wire        awready, wready, bvalid, arready, rvalid, irq;
  wire [31:0] rdata;
  wire [1:0]  bresp, rresp;

  wire [Ports*40-1:0] read_address;
  wire [Ports*8-1:0]  read_length;
  wire [Ports*3-1:0]  read_size, read_prot;
  wire [Ports*2-1:0]  read_burst;
  wire [Ports*4-1:0]  read_cache;
  wire [Ports-1:0]    read_valid, beat_ready;
  reg  [Ports-1:0]    read_ready, beat_valid, beat_last;
  reg  [Ports*128-1:0] beat_data;
  wire [39:0]  write_address;
  wire [7:0]   write_length;
  wire [2:0]   write_size, write_prot;
  wire [1:0]   write_burst;
  wire [3:0]   write_cache;
  wire         write_valid, data_valid, data_last, response_ready;
  reg          write_ready, data_ready, response_valid;
  wire [127:0] data;
  wire [15:0]  data_strobe;

  moesaic_accelerator_pins u_netlist (
      .clk_i(clk),
      .rst_ni(rst_n),
      .irq_o(irq),
      .s_axi_control_awaddr(awaddr),
      .s_axi_control_awprot(3'b000),
      .s_axi_control_awvalid(awvalid),
      .s_axi_control_awready(awready),
      .s_axi_control_wdata(wdata),
      .s_axi_control_wstrb(wstrb),
      .s_axi_control_wvalid(wvalid),
      .s_axi_control_wready(wready),
      .s_axi_control_bresp(bresp),
      .s_axi_control_bvalid(bvalid),
      .s_axi_control_bready(bready),
      .s_axi_control_araddr(araddr),
      .s_axi_control_arprot(3'b000),
      .s_axi_control_arvalid(arvalid),
      .s_axi_control_arready(arready),
      .s_axi_control_rdata(rdata),
      .s_axi_control_rresp(rresp),
      .s_axi_control_rvalid(rvalid),
      .s_axi_control_rready(rready),
      .m_axi_load_araddr(read_address[LoadPorts*40-1:0]),
      .m_axi_load_arlen(read_length[LoadPorts*8-1:0]),
      .m_axi_load_arsize(read_size[LoadPorts*3-1:0]),
      .m_axi_load_arburst(read_burst[LoadPorts*2-1:0]),
      .m_axi_load_arcache(read_cache[LoadPorts*4-1:0]),
      .m_axi_load_arprot(read_prot[LoadPorts*3-1:0]),
      .m_axi_load_arvalid(read_valid[LoadPorts-1:0]),
      .m_axi_load_arready(read_ready[LoadPorts-1:0]),
      .m_axi_load_rdata(beat_data[LoadPorts*128-1:0]),
      .m_axi_load_rresp({LoadPorts{2'b00}}),
      .m_axi_load_rlast(beat_last[LoadPorts-1:0]),
      .m_axi_load_rvalid(beat_valid[LoadPorts-1:0]),
      .m_axi_load_rready(beat_ready[LoadPorts-1:0]),
      .m_axi_main_araddr(read_address[LoadPorts*40+:40]),
      .m_axi_main_arlen(read_length[LoadPorts*8+:8]),
      .m_axi_main_arsize(read_size[LoadPorts*3+:3]),
      .m_axi_main_arburst(read_burst[LoadPorts*2+:2]),
      .m_axi_main_arcache(read_cache[LoadPorts*4+:4]),
      .m_axi_main_arprot(read_prot[LoadPorts*3+:3]),
      .m_axi_main_arvalid(read_valid[LoadPorts]),
      .m_axi_main_arready(read_ready[LoadPorts]),
      .m_axi_main_rdata(beat_data[LoadPorts*128+:128]),
      .m_axi_main_rresp(2'b00),
      .m_axi_main_rlast(beat_last[LoadPorts]),
      .m_axi_main_rvalid(beat_valid[LoadPorts]),
      .m_axi_main_rready(beat_ready[LoadPorts]),
      .m_axi_main_awaddr(write_address),
      .m_axi_main_awlen(write_length),
      .m_axi_main_awsize(write_size),
      .m_axi_main_awburst(write_burst),
      .m_axi_main_awcache(write_cache),
      .m_axi_main_awprot(write_prot),
      .m_axi_main_awvalid(write_valid),
      .m_axi_main_awready(write_ready),
      .m_axi_main_wdata(data),
      .m_axi_main_wstrb(data_strobe),
      .m_axi_main_wlast(data_last),
      .m_axi_main_wvalid(data_valid),
      .m_axi_main_wready(data_ready),
      .m_axi_main_bresp(2'b00),
      .m_axi_main_bvalid(response_valid),
      .m_axi_main_bready(response_ready)
  );

  task unknown(input [8*24-1:0] what);
    begin
      unknowns = unknowns + 1;
      if (unknowns <= 20) $display("UNKNOWN cycle %0d: %0s", cycle, what);
    end
  endtask

  task draw;    // xorshift
    begin
      random_state = random_state ^ (random_state << 13);
      random_state = random_state ^ (random_state >> 17);
      random_state = random_state ^ (random_state << 5);
    end
  endtask

  // --- the memory ---
  reg [39:0] asked_address[0:Ports*Outstanding-1];
  reg [7:0]  asked_length[0:Ports*Outstanding-1];
  integer    asked_due[0:Ports*Outstanding-1];
  integer    asked_first[0:Ports-1];
  integer    asked_count[0:Ports-1];
  integer    beat_index[0:Ports-1];
  reg [39:0] written_address;
  integer    written_left, owed, delay, slot, p, b;
  reg        writing, found;
  reg [127:0] word;

  task read_word(input [39:0] address);
    begin
      found = 1'b1;
      if (address >= ConstantBase && (address - ConstantBase) / 16 < constant_words) word = constants[(address-ConstantBase)/16];
      else if (address >= FrameBase && (address - FrameBase) / 16 < frame_words) word = frame[(address-FrameBase)/16];
      else begin
        $display("FAILED: cycle %0d: a read of %h, outside of both windows", cycle, address);
        $finish;
      end
    end
  endtask

  always @(posedge clk) begin
    if (judged) begin
      if ((^{awready, wready, bvalid, arready, rvalid, irq}) === 1'bx) unknown("control handshake");
      if (rvalid === 1'b1 && (^{rdata, rresp}) === 1'bx) unknown("control read data");
      if (bvalid === 1'b1 && (^bresp) === 1'bx) unknown("control response");
      if ((^{read_valid, beat_ready}) === 1'bx) unknown("read handshake");
      if ((^{write_valid, data_valid, response_ready}) === 1'bx) unknown("write handshake");
      if (write_valid === 1'b1 && (^{write_address, write_length, write_size, write_burst, write_cache, write_prot}) === 1'bx)
        unknown("write address");
      if (data_valid === 1'b1 && (^{data_strobe, data_last}) === 1'bx) unknown("write strobes");
      for (b = 0; b < 16; b = b + 1)
        if (data_valid === 1'b1 && data_strobe[b] === 1'b1 && (^data[8*b+:8]) === 1'bx) unknown("write data");
    end
    for (p = 0; p < Ports; p = p + 1) begin
      if (judged && read_valid[p] === 1'b1 && (^{read_address[40*p+:40], read_length[8*p+:8], read_size[3*p+:3],
          read_burst[2*p+:2], read_cache[4*p+:4], read_prot[3*p+:3]}) === 1'bx) unknown("read address");
      if (!rst_n) begin
        asked_count[p] = 0;
        asked_first[p] = 0;
        beat_index[p] = 0;
        beat_valid[p] <= 1'b0;
        read_ready[p] <= 1'b0;
        beat_data[128*p+:128] <= {128{1'bx}};
        beat_last[p] <= 1'bx;
      end else begin
        draw;
        delay = seed == 0 ? latency - 1 : random_state[15:0] % (2 * latency);
        if (read_valid[p] && read_ready[p]) begin
          slot = p * Outstanding + (asked_first[p] + asked_count[p]) % Outstanding;
          asked_address[slot] = read_address[40*p+:40];
          asked_length[slot] = read_length[8*p+:8];
          asked_due[slot] = cycle + delay;
          asked_count[p] = asked_count[p] + 1;
        end
        if (!beat_valid[p] || beat_ready[p]) begin
          slot = p * Outstanding + asked_first[p];
          draw;
          if (asked_count[p] != 0 && cycle >= asked_due[slot] && (seed == 0 || random_state[3:0] > 4'd4)) begin
            read_word(asked_address[slot] + 16 * beat_index[p]);
            beat_valid[p] <= 1'b1;
            beat_data[128*p+:128] <= word;
            beat_last[p] <= beat_index[p] == asked_length[slot];
            if (beat_index[p] == asked_length[slot]) begin
              beat_index[p] = 0;
              asked_first[p] = (asked_first[p] + 1) % Outstanding;
              asked_count[p] = asked_count[p] - 1;
            end else begin
              beat_index[p] = beat_index[p] + 1;
            end
          end else begin
            beat_valid[p] <= 1'b0;
            beat_data[128*p+:128] <= {128{1'bx}};
            beat_last[p] <= 1'bx;
          end
        end
        draw;
        read_ready[p] <= asked_count[p] < Outstanding - 1 && (seed == 0 || random_state[3:0] > 4'd4);
      end
    end

    // One write burst at a time; its response is owed from its last beat on.
    if (!rst_n) begin
      writing = 1'b0;
      owed = 0;
      write_ready <= 1'b0;
      data_ready <= 1'b0;
      response_valid <= 1'b0;
    end else begin
      if (response_valid && response_ready) owed = owed - 1;
      if (data_valid && data_ready) begin
        if (written_address < FrameBase || (written_address - FrameBase) / 16 >= frame_words) begin
          $display("FAILED: cycle %0d: a write to %h, outside of the frame window", cycle, written_address);
          $finish;
        end
        word = frame[(written_address-FrameBase)/16];
        for (b = 0; b < 16; b = b + 1) if (data_strobe[b]) word[8*b+:8] = data[8*b+:8];
        frame[(written_address-FrameBase)/16] = word;
        written_address = written_address + 40'd16;
        written_left = written_left - 1;
        if (data_last !== (written_left == 0)) begin
          $display("FAILED: cycle %0d: wlast is %b with %0d beats left", cycle, data_last, written_left);
          $finish;
        end
        if (written_left == 0) begin
          writing = 1'b0;
          owed = owed + 1;
        end
      end
      if (write_valid && write_ready) begin
        writing = 1'b1;
        written_address = write_address;
        written_left = write_length + 1;
      end
      draw;
      write_ready <= !writing;
      data_ready <= writing && (seed == 0 || random_state[0]);
      response_valid <= owed != 0;
    end
  end

  // --- the master of the registers, which changes pins at clock edges only ---
  localparam Reset = 0, Set = 1, Run = 2, Read = 3, Acknowledge = 4, Finish = 5;
  localparam ResetCycles = 16, SettleCycles = 8, Settings = 11, SpareCycles = 10000;

  integer phase = Reset;
  integer step = 0;

  // Address and value of the registers that start a run, in order.
  function [43:0] setting(input integer index);
    case (index)
      0: setting = {12'h030, ConstantBase[31:0]};
      1: setting = {12'h034, 24'd0, ConstantBase[39:32]};
      2: setting = {12'h038, 32'd16 * constant_words};
      3: setting = {12'h040, FrameBase[31:0]};
      4: setting = {12'h044, 24'd0, FrameBase[39:32]};
      5: setting = {12'h048, 32'd16 * frame_words};
      6: setting = {12'h050, program_offset};
      7: setting = {12'h054, program_size};
      8: setting = {12'h058, max_cycles[31:0]};
      9: setting = {12'h014, 32'd1};
      default: setting = {12'h000, 32'd1};
    endcase
  endfunction

  task write_register(input [11:0] address, input [31:0] value);
    begin
      awaddr <= address;
      wdata <= value;
      wstrb <= 4'b1111;
      awvalid <= 1'b1;
      wvalid <= 1'b1;
    end
  endtask

  task read_register(input [11:0] address);
    begin
      araddr <= address;
      arvalid <= 1'b1;
    end
  endtask

  always @(posedge clk) begin
    if (awvalid && awready === 1'b1) begin
      awvalid <= 1'b0;
      awaddr <= 12'bx;
    end
    if (wvalid && wready === 1'b1) begin
      wvalid <= 1'b0;
      wdata <= 32'bx;
      wstrb <= 4'bx;
    end
    if (arvalid && arready === 1'b1) begin
      arvalid <= 1'b0;
      araddr <= 12'bx;
    end

    step = step + 1;
    case (phase)
      Reset: begin
        if (step == ResetCycles) rst_n <= 1'b1;
        if (step == ResetCycles + 1) judged <= 1'b1;
        if (step == ResetCycles + SettleCycles) begin
          phase = Set;
          step = 0;
          write_register(setting(0) >> 32, setting(0));
        end
      end
      Set: begin
        if (bvalid !== 1'b1) step = step - 1;
        else if (step != Settings) write_register(setting(step) >> 32, setting(step));
        else begin
          phase = Run;
          step = 0;
        end
      end
      Run: begin
        if (irq === 1'b1 || step == max_cycles + SpareCycles) begin
          if (irq !== 1'b1) $display("FAILED: no interrupt within %0d cycles", step);
          phase = Read;
          step = 0;
          read_register(12'h000);
        end
      end
      Read: begin
        if (rvalid !== 1'b1) begin
          step = step - 1;
        end else begin
          $display("REGISTER %h %h", 4 * (step - 1), rdata);
          if (step != Registers) read_register(4 * step);
          else begin
            phase = Acknowledge;
            write_register(12'h018, 32'd1);
          end
        end
      end
      Acknowledge: begin
        if (bvalid === 1'b1) begin
          phase = Finish;
          step = 0;
        end
      end
      default: begin
        if (step == 2) begin
          if (irq !== 1'b0) $display("FAILED: the interrupt stays");
          $writememh(result_file, frame, 0, frame_words - 1);
          $display("ENDED: %0d unknowns", unknowns);
          $finish;
        end
      end
    endcase
  end

  reg [8*512-1:0] constants_file, frame_file, result_file;

  initial begin
    if (!$value$plusargs("constants=%s", constants_file) || !$value$plusargs("frame=%s", frame_file) ||
        !$value$plusargs("result=%s", result_file) || !$value$plusargs("program_offset=%d", program_offset) ||
        !$value$plusargs("constant_words=%d", constant_words) || !$value$plusargs("frame_words=%d", frame_words) ||
        !$value$plusargs("program_size=%d", program_size)) begin
      $display("FAILED: an argument of the bench is missing");
      $finish;
    end
    if (!$value$plusargs("latency=%d", latency)) latency = 60;
    if (!$value$plusargs("seed=%d", seed)) seed = 0;
    if (!$value$plusargs("max_cycles=%d", max_cycles)) max_cycles = 1000000;
    random_state = 32'h9e3779b9 + seed;
    $readmemh(constants_file, constants, 0, constant_words - 1);
    $readmemh(frame_file, frame, 0, frame_words - 1);
  end

endmodule
