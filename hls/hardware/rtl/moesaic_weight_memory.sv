// The weight memory: words of TileColumns * TileDepth bytes, one read port and one write port, in UltraRAM, or in block RAM if Ultra is 0.
// The words after the last one, SharedBytes of them, lie in the lowest part of the activation memory, behind its wide port.
//
// A read is always accepted and answered exactly moesaic_memory_pkg::WEIGHT_READ_CYCLES later. Write client 0 (matmul) goes before
// client 1 (load); a write granted in cycle t is seen by reads of cycle t + 4 on. Addresses are word addresses, compared over all 32
// bits: one beyond the memory reads zero, writes nothing and raises the fault output in the cycle after the request was accepted.
//
//   read   t: request, which asks the shared part | t + 1: address | t + 2: latch | t + 3: output register, multiplexer | t + 4: answer
//   write  t: grant | t + 1: multiplexer | t + 2: the word at the RAM, or at the wide port of the activation memory
// What chooses and what enables is there once for each slice of 9 bytes, all that an UltraRAM is wide, or of 8, the bytes of a block RAM
// that can be written apart: at most 81 loads. An address has one load in each RAM.
module moesaic_weight_memory #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth = 4,
    parameter int unsigned WeightBytes = 131072,
    parameter int unsigned SharedBytes = 32768,
    parameter bit          Ultra = 1'b1
) (
    input  logic                                            clk_i,
    input  logic                                            rst_ni,
    input  logic                                            rd_valid_i,
    input  logic [31 : 0]                                   rd_address_i,
    output logic                                            rd_data_valid_o,
    output logic [8 * TileColumns * TileDepth - 1 : 0]      rd_data_o,
    output logic                                            rd_fault_o,
    // writes: 0 matmul, 1 load
    input  logic [1 : 0]                                    wr_valid_i,
    output logic [1 : 0]                                    wr_ready_o,
    input  logic [1 : 0][31 : 0]                            wr_address_i,
    input  logic [1 : 0][8 * TileColumns * TileDepth - 1 : 0] wr_data_i,
    input  logic [1 : 0][TileColumns * TileDepth - 1 : 0]   wr_strobe_i,
    output logic [1 : 0]                                    wr_fault_o,
    // the shared part: number of the word there; never waits, read data after three cycles
    output logic                                            shared_rd_valid_o,
    output logic [31 : 0]                                   shared_rd_address_o,
    input  logic [8 * TileColumns * TileDepth - 1 : 0]      shared_rd_data_i,
    output logic                                            shared_wr_valid_o,
    output logic [31 : 0]                                   shared_wr_address_o,
    output logic [8 * TileColumns * TileDepth - 1 : 0]      shared_wr_data_o,
    output logic [TileColumns * TileDepth - 1 : 0]          shared_wr_strobe_o
);

  localparam int unsigned WordBytes = TileColumns * TileDepth;
  localparam int unsigned Words = WeightBytes / WordBytes;
  localparam int unsigned AllWords = (WeightBytes + SharedBytes) / WordBytes;
  localparam int unsigned AddressBits = $clog2(Words);
  // Few bits tell the parts apart; what lies outside of both is read or written in one of them, as zeros or without strobes.
  localparam int unsigned AllBits = $clog2(AllWords + 1);
  // Slices as wide as one RAM, with a write enable for each byte; the last one takes what is left. The strobes of most slices are zero in
  // most writes of load.
  localparam int unsigned SliceBytes = Ultra ? 9 : 8;
  localparam int unsigned Slices = (WordBytes + SliceBytes - 1) / SliceBytes;
  /* verilator lint_off UNUSEDPARAM */
  localparam Style = Ultra ? "ultra" : "block";  // only the memory's attribute, which Verilator does not read, has it
  /* verilator lint_on UNUSEDPARAM */

  if (WeightBytes % WordBytes != 0 || Words < 2) begin : gen_check_words
    $fatal(1, "weight_memory: WeightBytes is %0d, it must hold whole words of %0d bytes, at least two", WeightBytes, WordBytes);
  end
  if (SharedBytes % WordBytes != 0) begin : gen_check_shared
    $fatal(1, "weight_memory: SharedBytes is %0d, it must hold whole words of %0d bytes", SharedBytes, WordBytes);
  end

  logic rd_outside, rd_shared;
  logic [1:0] wr_outside;

  assign rd_outside = rd_address_i >= AllWords;
  assign rd_shared = AllBits'(rd_address_i) >= AllBits'(Words);
  assign wr_outside = {wr_address_i[1] >= AllWords, wr_address_i[0] >= AllWords};
  assign wr_ready_o = {~wr_valid_i[0], 1'b1};

  assign shared_rd_valid_o = rd_valid_i && rd_shared;
  assign shared_rd_address_o = rd_address_i - Words;

  // --- reads ---

  // Until the output registers show the word of a request.
  localparam int unsigned WordCycles = moesaic_memory_pkg::WEIGHT_READ_CYCLES - 1;

  logic [WordCycles:0] pending_q;
  // The answer is taken from the RAMs, or from the shared part, or, outside of both, from neither.
  logic [WordCycles-2:0] own_q, shared_q;
  logic rd_enable_q;
  logic [AddressBits-1:0] rd_address_q;

  assign rd_data_valid_o = pending_q[WordCycles];

  // Not reset: what means something only with a request.
  always_ff @(posedge clk_i) begin
    pending_q <= rst_ni ? {pending_q[WordCycles-1:0], rd_valid_i} : '0;
    own_q <= {own_q[WordCycles-3:0], !rd_outside && !rd_shared};
    shared_q <= {shared_q[WordCycles-3:0], !rd_outside && rd_shared};
    rd_enable_q <= rd_valid_i;
    rd_address_q <= AddressBits'(rd_address_i);
    rd_fault_o <= rst_ni && rd_valid_i && rd_outside;
    wr_fault_o <= rst_ni ? wr_valid_i & wr_ready_o & wr_outside : '0;
  end

  // --- writes ---

  logic wr_valid_q, client_q, wr_shared;
  logic [1:0][31:0] client_address_q;
  logic [1:0][8*WordBytes-1:0] client_data_q;
  logic [1:0][WordBytes-1:0] client_strobe_q;
  logic [31:0] wr_address;
  logic [AddressBits-1:0] wr_address_q;
  logic [8*WordBytes-1:0] wr_data_q;
  logic [WordBytes-1:0] wr_strobe_q;

  assign wr_address = client_address_q[client_q];
  assign wr_shared = AllBits'(wr_address) >= AllBits'(Words);
  assign shared_wr_data_o = wr_data_q;
  assign shared_wr_strobe_o = wr_strobe_q;

  // Not reset: what means something only with a grant.
  always_ff @(posedge clk_i) begin
    wr_valid_q <= rst_ni && |wr_valid_i;
    client_q <= ~wr_valid_i[0];
    client_address_q <= wr_address_i;
    client_data_q <= wr_data_i;
    for (int c = 0; c < 2; c++) client_strobe_q[c] <= wr_outside[c] ? '0 : wr_strobe_i[c];
    wr_address_q <= AddressBits'(wr_address);
    shared_wr_valid_o <= rst_ni && wr_valid_q && wr_shared;
    shared_wr_address_o <= wr_address - Words;
  end

  for (genvar s = 0; s < Slices; s++) begin : gen_slice
    localparam int unsigned First = SliceBytes * s;
    localparam int unsigned Bytes = (s == Slices - 1) ? WordBytes - First : SliceBytes;

    (* ram_style = Style *) logic [8*Bytes-1:0] memory[Words];
    logic [8*Bytes-1:0] latch_q, output_q;
    logic client, wr_enable_q, answered, own, shared;

    // --- the slice's copies of what chooses ---

    moesaic_replica u_client (
        .clk_i,
        .data_i(~wr_valid_i[0]),
        .data_o(client)
    );

    moesaic_replica #(
        .Width(3)
    ) u_answered (
        .clk_i,
        .data_i({pending_q[WordCycles-2], own_q[WordCycles-2], shared_q[WordCycles-2]}),
        .data_o({answered, own, shared})
    );

    always_ff @(posedge clk_i) begin
      wr_data_q[8*First+:8*Bytes] <= client_data_q[client][8*First+:8*Bytes];
      wr_strobe_q[First+:Bytes] <= client_strobe_q[client][First+:Bytes];
      wr_enable_q <= rst_ni && wr_valid_q && !wr_shared && client_strobe_q[client][First+:Bytes] != '0;
    end

    always_ff @(posedge clk_i) begin
      if (wr_enable_q) begin
        for (int b = 0; b < Bytes; b++) begin
          if (wr_strobe_q[First+b]) memory[wr_address_q][8*b+:8] <= wr_data_q[8*(First+b)+:8];
        end
      end
    end

    always_ff @(posedge clk_i) begin
      if (rd_enable_q) latch_q <= memory[rd_address_q];
      output_q <= latch_q;
    end

    always_ff @(posedge clk_i) begin
      if (answered) begin
        rd_data_o[8*First+:8*Bytes] <= output_q & {8 * Bytes{own}}
            | shared_rd_data_i[8*First+:8*Bytes] & {8 * Bytes{shared}};
      end
    end
  end

endmodule
