// The weight memory: words of TileColumns * TileDepth bytes, one read port and one write port, in UltraRAM. The words after
// the last one, SharedBytes of them, lie in the lowest part of the activation memory, behind its wide port.
//
// A read is always accepted and answered exactly two cycles later. Write client 0 (matmul) goes before client 1 (load); a
// write granted in cycle t is seen by reads of cycle t + 1 on. Addresses are word addresses, compared over all 32 bits: one
// beyond the memory reads zero, writes nothing and raises the fault output in the cycle after the request was accepted.
module moesaic_weight_memory #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned TileDepth = 4,
    parameter int unsigned WeightBytes = 131072,
    parameter int unsigned SharedBytes = 32768
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
    // the shared part: number of the word there; never waits, read data after one cycle
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
  // Slices as wide as the data of one UltraRAM; the strobes of most slices are zero in most writes of load.
  localparam int unsigned SliceBytes = 8;
  localparam int unsigned Slices = WordBytes / SliceBytes;

  if (WordBytes % SliceBytes != 0) begin : gen_check_word
    $fatal(1, "weight_memory: a word has TileColumns * TileDepth = %0d bytes, they must be a multiple of %0d", WordBytes, SliceBytes);
  end
  if (WeightBytes % WordBytes != 0 || Words < 2) begin : gen_check_words
    $fatal(1, "weight_memory: WeightBytes is %0d, it must hold whole words of %0d bytes, at least two", WeightBytes, WordBytes);
  end
  if (SharedBytes % WordBytes != 0) begin : gen_check_shared
    $fatal(1, "weight_memory: SharedBytes is %0d, it must hold whole words of %0d bytes", SharedBytes, WordBytes);
  end

  logic rd_outside;
  logic [1:0] wr_outside;
  logic wr_client;
  logic wr_enable;
  logic [AddressBits-1:0] wr_address;
  logic [8*WordBytes-1:0] wr_data;
  logic [WordBytes-1:0] wr_strobe;

  logic rd_shared, rd_shared_q, wr_shared;

  assign rd_outside = rd_address_i >= AllWords;
  assign rd_shared = AllBits'(rd_address_i) >= AllBits'(Words);
  assign wr_outside = {wr_address_i[1] >= AllWords, wr_address_i[0] >= AllWords};
  assign wr_ready_o = {~wr_valid_i[0], 1'b1};
  assign wr_client = ~wr_valid_i[0];
  assign wr_shared = AllBits'(wr_address_i[wr_client]) >= AllBits'(Words);
  assign wr_enable = |wr_valid_i & ~wr_shared;
  assign wr_address = AddressBits'(wr_address_i[wr_client]);
  assign wr_data = wr_data_i[wr_client];
  assign wr_strobe = wr_outside[wr_client] ? '0 : wr_strobe_i[wr_client];

  assign shared_rd_valid_o = rd_valid_i && rd_shared;
  assign shared_rd_address_o = rd_address_i - Words;
  assign shared_wr_valid_o = |wr_valid_i && wr_shared;
  assign shared_wr_address_o = wr_address_i[wr_client] - Words;
  assign shared_wr_data_o = wr_data;
  assign shared_wr_strobe_o = wr_strobe;

  logic pending_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      pending_q <= 1'b0;
      rd_data_valid_o <= 1'b0;
      rd_fault_o <= 1'b0;
      wr_fault_o <= '0;
    end else begin
      pending_q <= rd_valid_i;
      rd_data_valid_o <= pending_q;
      rd_fault_o <= rd_valid_i & rd_outside;
      wr_fault_o <= wr_valid_i & wr_ready_o & wr_outside;
    end
    rd_shared_q <= rd_shared;
  end

  for (genvar s = 0; s < Slices; s++) begin : gen_slice
    (* ram_style = "ultra" *) logic [8*SliceBytes-1:0] memory[Words];
    logic [8*SliceBytes-1:0] rd_data_q;
    logic [SliceBytes-1:0] strobe;

    assign strobe = wr_strobe[s*SliceBytes+:SliceBytes];

    always_ff @(posedge clk_i) begin
      if (wr_enable && strobe != '0) begin
        for (int b = 0; b < SliceBytes; b++) begin
          if (strobe[b]) memory[wr_address][8*b+:8] <= wr_data[8*(s*SliceBytes+b)+:8];
        end
      end
    end

    always_ff @(posedge clk_i) begin
      if (rd_valid_i) rd_data_q <= memory[AddressBits'(rd_address_i)];
    end

    always_ff @(posedge clk_i) begin
      if (pending_q) begin
        rd_data_o[8*SliceBytes*s+:8*SliceBytes] <= rd_shared_q ? shared_rd_data_i[8*SliceBytes*s+:8*SliceBytes] : rd_data_q;
        if (rd_fault_o) rd_data_o[8*SliceBytes*s+:8*SliceBytes] <= '0;
      end
    end
  end

endmodule
