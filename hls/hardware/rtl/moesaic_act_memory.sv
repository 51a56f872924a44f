// The activation memory: words of 2 * TileColumns bytes. The lower ActBytes - ActUltraBytes lie in block RAM, interleaved over
// ActBanks on the low bits of the word address, the rest in two banks of UltraRAM, interleaved on its lowest bit. The lowest
// SharedBytes have ActBanks banks of their own.
//
// Each bank serves one read and one write per cycle; the client with the lowest index wins. A read is answered exactly
// moesaic_memory_pkg::ACT_READ_CYCLES after its grant, without back-pressure, and its data stays until the client's next answer. A
// write granted in cycle t is seen by reads granted from t + 2 on. Addresses are word addresses, compared over all 32 bits: one
// beyond the memory is granted, reads zero, writes nothing and raises the client's fault output in the cycle after the grant.
//
// The lowest SharedBytes continue the weight memory (weight_memory has the addresses): its words, WideWords of these side by
// side in as many banks, are read and written through the wide port, which goes before all clients and never waits. Its read
// data is there three cycles after the request, straight from the banks' output registers.
//
// Everything that chooses stands between registers:
//   read   t: grant | t + 1: address at the bank | t + 2: its latch | t + 3: its output register, multiplexer | t + 4: answer
//   write  t: grant | t + 1: multiplexer | t + 2: address and data at the bank
// A select of a multiplexer has at most 3 loads for each of SliceBits bits, 384; an enable or a reset SliceBits, 128; each slice has
// copies of all.
module moesaic_act_memory #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned ActBytes = 131072,
    parameter int unsigned ActBanks = 4,
    parameter int unsigned ActUltraBytes = 32768,
    parameter int unsigned SharedBytes = 32768,
    parameter int unsigned WideWords = 2,
    parameter int unsigned NumReads = 8,
    parameter int unsigned NumWrites = 4
) (
    input  logic                                             clk_i,
    input  logic                                             rst_ni,
    // reads of P = ActPorts words each: P matmul operand, P matmul residual, P vector; then one of route and one of store
    input  logic [NumReads - 1 : 0]                          rd_valid_i,
    output logic [NumReads - 1 : 0]                          rd_ready_o,
    input  logic [NumReads - 1 : 0][31 : 0]                  rd_address_i,
    output logic [NumReads - 1 : 0]                          rd_data_valid_o,
    output logic [NumReads - 1 : 0][16 * TileColumns - 1 : 0] rd_data_o,
    output logic [NumReads - 1 : 0]                          rd_fault_o,
    // writes: P matmul, then one of vector and one of load
    input  logic [NumWrites - 1 : 0]                         wr_valid_i,
    output logic [NumWrites - 1 : 0]                         wr_ready_o,
    input  logic [NumWrites - 1 : 0][31 : 0]                 wr_address_i,
    input  logic [NumWrites - 1 : 0][16 * TileColumns - 1 : 0] wr_data_i,
    input  logic [NumWrites - 1 : 0][2 * TileColumns - 1 : 0] wr_strobe_i,
    output logic [NumWrites - 1 : 0]                         wr_fault_o,
    // wide words, by their number; always inside
    input  logic                                             wide_rd_valid_i,
    input  logic [31 : 0]                                    wide_rd_address_i,
    output logic [16 * TileColumns * WideWords - 1 : 0]      wide_rd_data_o,
    input  logic                                             wide_wr_valid_i,
    input  logic [31 : 0]                                    wide_wr_address_i,
    input  logic [16 * TileColumns * WideWords - 1 : 0]      wide_wr_data_i,
    input  logic [2 * TileColumns * WideWords - 1 : 0]       wide_wr_strobe_i
);

  localparam int unsigned Words = ActBytes / (2 * TileColumns);
  localparam int unsigned SharedWords = SharedBytes / (2 * TileColumns);
  localparam int unsigned SharedEnd = (SharedWords > 0) ? SharedWords : 1;    // nothing can be compared with "below 0"
  localparam int unsigned BlockWords = (ActBytes - ActUltraBytes) / (2 * TileColumns);
  localparam int unsigned UltraWords = Words - BlockWords;
  // Banks by number: those of the shared part, of the rest of the block RAM, of UltraRAM.
  localparam int unsigned SharedBanks = (SharedWords > 0) ? ActBanks : 0;
  localparam int unsigned LastShared = (SharedWords > 0) ? ActBanks - 1 : 0;
  localparam int unsigned FirstUltra = SharedBanks + ActBanks;
  localparam int unsigned Banks = FirstUltra + ((UltraWords > 0) ? 2 : 0);
  localparam int unsigned BankBits = (Banks > 1) ? $clog2(Banks) : 1;
  localparam int unsigned BlockShift = $clog2(ActBanks);
  localparam int unsigned SharedRows = SharedWords / ActBanks;
  localparam int unsigned SharedRowBits = (SharedRows > 1) ? $clog2(SharedRows) : 1;
  localparam int unsigned BlockRows = BlockWords / ActBanks - SharedRows;
  localparam int unsigned BlockRowBits = (BlockRows > 1) ? $clog2(BlockRows) : 1;
  // Any UltraWords successive addresses differ in their low bits, so these are the row, wherever the block RAM ends.
  localparam int unsigned UltraRowBits = (UltraWords > 2) ? $clog2(UltraWords) - 1 : 1;
  localparam int unsigned BramRowBits = (BlockRowBits > SharedRowBits) ? BlockRowBits : SharedRowBits;
  localparam int unsigned RowBits = (BramRowBits > UltraRowBits) ? BramRowBits : UltraRowBits;
  localparam int unsigned AddressBits = $clog2(Words);
  localparam int unsigned WordBits = 16 * TileColumns;
  localparam int unsigned SliceBits = (WordBits > 128) ? 128 : WordBits;
  localparam int unsigned Slices = WordBits / SliceBits;
  // Of a word: its part of the memory, shared, block RAM, or one of the two banks of UltraRAM, and its bank in the first two.
  localparam int unsigned LaneBits = (ActBanks > 1) ? BlockShift : 1;
  localparam logic [1:0] PartShared = 2'd0;
  localparam logic [1:0] PartBlock = 2'd1;
  localparam logic [1:0] PartUltra = 2'd2;
  // Who writes to a bank: a client, or the wide port.
  localparam int unsigned ClientBits = (NumWrites > 1) ? $clog2(NumWrites) : 1;
  localparam int unsigned WideShift = $clog2(WideWords);
  localparam int unsigned WideGroups = (ActBanks > WideWords) ? ActBanks / WideWords : 1;
  localparam int unsigned GroupShift = $clog2(WideGroups);

  if (BlockWords % ActBanks != 0 || BlockWords / ActBanks < 2) begin : gen_check_block
    $fatal(1, "act_memory: ActBytes - ActUltraBytes is %0d, it must be a multiple of %0d, one word in every bank, at least two",
           ActBytes - ActUltraBytes, 2 * TileColumns * ActBanks);
  end
  if (UltraWords % 2 != 0) begin : gen_check_ultra
    $fatal(1, "act_memory: ActUltraBytes is %0d, it must be a multiple of two words, %0d", ActUltraBytes, 4 * TileColumns);
  end
  if (SharedBytes % (2 * TileColumns * ActBanks) != 0 || SharedWords >= BlockWords) begin : gen_check_shared
    $fatal(1, "act_memory: SharedBytes is %0d, it must be a multiple of %0d, one word in every bank, and below %0d", SharedBytes,
           2 * TileColumns * ActBanks, ActBytes - ActUltraBytes);
  end
  if (SharedWords > 0 && ActBanks % WideWords != 0) begin : gen_check_wide
    $fatal(1, "act_memory: WideWords is %0d, it must divide ActBanks, %0d, for a wide word lies in one row", WideWords, ActBanks);
  end

  // of a cycle's grants
  logic [Banks-1:0] bank_rd_enable, bank_wr_enable;
  logic [Banks-1:0][RowBits-1:0] bank_rd_row, bank_wr_row;
  logic [Banks-1:0] bank_wide;
  logic [Banks-1:0][ClientBits-1:0] bank_client;
  // what a bank sees
  logic [Banks-1:0] bank_rd_enable_q, bank_wr_enable_q;
  logic [Banks-1:0][RowBits-1:0] bank_rd_row_q, bank_wr_row_q;
  logic [Banks-1:0][WordBits-1:0] bank_rd_data, bank_wr_data_q;
  logic [Banks-1:0][2*TileColumns-1:0] bank_wr_strobe_q;

  logic [NumReads-1:0][BankBits-1:0] rd_bank;
  logic [NumReads-1:0] rd_outside;
  logic [NumWrites-1:0][BankBits-1:0] wr_bank;
  logic [NumWrites-1:0] wr_outside;

  // Of an address inside: any bank does for one outside, so that few bits decide.
  function automatic logic [BankBits-1:0] bank_of(input logic [AddressBits-1:0] address);
    bank_of = BankBits'(SharedBanks + (32'(address) & (ActBanks - 1)));
    if (SharedWords > 0 && 32'(address) < SharedEnd) bank_of = BankBits'(32'(address) & (ActBanks - 1));
    if (UltraWords > 0 && 32'(address) >= BlockWords) bank_of = BankBits'(FirstUltra + 32'(address[0]));
  endfunction

  // Whether a wide word at this address needs the bank.
  function automatic logic wide_takes(input logic [BankBits-1:0] bank, input logic [31:0] address);
    wide_takes = SharedWords > 0 && 32'(bank) <= LastShared && 32'(bank) >> WideShift == (address & (WideGroups - 1));
  endfunction

  function automatic logic [RowBits-1:0] row_of(input logic [31:0] address, input int bank);
    row_of = RowBits'((address >> BlockShift) - (bank < int'(SharedBanks) ? 0 : SharedRows));
    if (bank >= int'(FirstUltra)) row_of = RowBits'(address >> 1);
  endfunction

  always_comb begin
    for (int c = 0; c < NumReads; c++) begin
      rd_bank[c] = bank_of(AddressBits'(rd_address_i[c]));
      rd_outside[c] = rd_address_i[c] >= Words;
    end
    for (int c = 0; c < NumWrites; c++) begin
      wr_bank[c] = bank_of(AddressBits'(wr_address_i[c]));
      wr_outside[c] = wr_address_i[c] >= Words;
    end
  end

  // Banks of the wide word: one group of WideWords neighbours.
  logic [Banks-1:0] wide_rd_bank, wide_wr_bank;
  always_comb begin
    wide_rd_bank = '0;
    wide_wr_bank = '0;
    for (int b = 0; b < int'(SharedBanks); b++) begin
      wide_rd_bank[b] = wide_rd_valid_i && wide_takes(BankBits'(b), wide_rd_address_i);
      wide_wr_bank[b] = wide_wr_valid_i && wide_takes(BankBits'(b), wide_wr_address_i);
    end
  end

  // A client is served if no earlier one and no wide word wants its bank.
  always_comb begin
    for (int c = 0; c < NumReads; c++) begin
      rd_ready_o[c] = rd_valid_i[c] && !(wide_rd_valid_i && wide_takes(rd_bank[c], wide_rd_address_i));
      for (int e = 0; e < c; e++) if (rd_valid_i[e] && rd_bank[e] == rd_bank[c]) rd_ready_o[c] = 1'b0;
    end
    for (int c = 0; c < NumWrites; c++) begin
      wr_ready_o[c] = wr_valid_i[c] && !(wide_wr_valid_i && wide_takes(wr_bank[c], wide_wr_address_i));
      for (int e = 0; e < c; e++) if (wr_valid_i[e] && wr_bank[e] == wr_bank[c]) wr_ready_o[c] = 1'b0;
    end
  end

  always_comb begin
    bank_rd_enable = wide_rd_bank;
    bank_rd_row = '0;
    for (int b = 0; b < Banks; b++) begin
      if (wide_rd_bank[b]) bank_rd_row[b] = RowBits'(wide_rd_address_i >> GroupShift);
      for (int c = 0; c < NumReads; c++) begin
        if (!bank_rd_enable[b] && rd_valid_i[c] && rd_bank[c] == BankBits'(b)) begin
          bank_rd_enable[b] = 1'b1;
          bank_rd_row[b] = row_of(rd_address_i[c], b);
        end
      end
    end
  end

  always_comb begin
    bank_wr_enable = wide_wr_bank;
    bank_wr_row = '0;
    bank_wide = wide_wr_bank;
    bank_client = '0;
    for (int b = 0; b < Banks; b++) begin
      if (wide_wr_bank[b]) bank_wr_row[b] = RowBits'(wide_wr_address_i >> GroupShift);
      for (int c = 0; c < NumWrites; c++) begin
        if (!bank_wr_enable[b] && wr_valid_i[c] && wr_bank[c] == BankBits'(b)) begin
          bank_wr_enable[b] = 1'b1;
          bank_wr_row[b] = row_of(wr_address_i[c], b);
          bank_client[b] = ClientBits'(c);
        end
      end
    end
  end

  // --- reads reach the bank a cycle after their grant, writes two cycles after it, with the data that was chosen in between ---

  logic [Banks-1:0] late_wr_enable_q;
  logic [Banks-1:0][RowBits-1:0] late_wr_row_q;
  logic [NumWrites-1:0][WordBits-1:0] late_wr_data_q;
  logic [NumWrites-1:0][2*TileColumns-1:0] late_wr_strobe_q;
  logic [WideWords-1:0][WordBits-1:0] wide_wr_data_q;
  logic [WideWords-1:0][2*TileColumns-1:0] wide_wr_strobe_q;

  // Not reset: addresses, data and read enables, for a read without a client is seen by nobody.
  always_ff @(posedge clk_i) begin
    bank_rd_enable_q <= bank_rd_enable;
    bank_rd_row_q <= bank_rd_row;
    late_wr_row_q <= bank_wr_row;
    bank_wr_row_q <= late_wr_row_q;
    late_wr_data_q <= wr_data_i;
    wide_wr_data_q <= wide_wr_data_i;
    wide_wr_strobe_q <= wide_wr_strobe_i;
    for (int c = 0; c < NumWrites; c++) late_wr_strobe_q[c] <= wr_outside[c] ? '0 : wr_strobe_i[c];
    late_wr_enable_q <= rst_ni ? bank_wr_enable : '0;
    bank_wr_enable_q <= rst_ni ? late_wr_enable_q : '0;
  end

  for (genvar b = 0; b < Banks; b++) begin : gen_writer
    logic strobe_wide;
    logic [ClientBits-1:0] strobe_client;

    moesaic_replica #(
        .Width(ClientBits + 1)
    ) u_strobe_writer (
        .clk_i,
        .data_i({bank_wide[b], bank_client[b]}),
        .data_o({strobe_wide, strobe_client})
    );

    // A shared bank b holds word b % WideWords of a wide one.
    always_ff @(posedge clk_i) begin
      bank_wr_strobe_q[b] <= (b < SharedBanks && strobe_wide) ? wide_wr_strobe_q[b%WideWords] : late_wr_strobe_q[strobe_client];
    end

    for (genvar s = 0; s < Slices; s++) begin : gen_slice
      logic wide;
      logic [ClientBits-1:0] client;

      moesaic_replica #(
          .Width(ClientBits + 1)
      ) u_writer (
          .clk_i,
          .data_i({bank_wide[b], bank_client[b]}),
          .data_o({wide, client})
      );

      always_ff @(posedge clk_i) begin
        bank_wr_data_q[b][SliceBits*s+:SliceBits] <= (b < SharedBanks && wide)
            ? wide_wr_data_q[b%WideWords][SliceBits*s+:SliceBits] : late_wr_data_q[client][SliceBits*s+:SliceBits];
      end
    end
  end

  for (genvar b = 0; b < SharedBanks; b++) begin : gen_shared
    moesaic_act_bank #(
        .TileColumns(TileColumns),
        .Words(SharedRows)
    ) u_bank (
        .clk_i,
        .rd_enable_i (bank_rd_enable_q[b]),
        .rd_address_i(SharedRowBits'(bank_rd_row_q[b])),
        .rd_data_o   (bank_rd_data[b]),
        .wr_enable_i (bank_wr_enable_q[b]),
        .wr_address_i(SharedRowBits'(bank_wr_row_q[b])),
        .wr_data_i   (bank_wr_data_q[b]),
        .wr_strobe_i (bank_wr_strobe_q[b])
    );
  end

  for (genvar b = SharedBanks; b < FirstUltra; b++) begin : gen_block
    moesaic_act_bank #(
        .TileColumns(TileColumns),
        .Words(BlockRows)
    ) u_bank (
        .clk_i,
        .rd_enable_i (bank_rd_enable_q[b]),
        .rd_address_i(BlockRowBits'(bank_rd_row_q[b])),
        .rd_data_o   (bank_rd_data[b]),
        .wr_enable_i (bank_wr_enable_q[b]),
        .wr_address_i(BlockRowBits'(bank_wr_row_q[b])),
        .wr_data_i   (bank_wr_data_q[b]),
        .wr_strobe_i (bank_wr_strobe_q[b])
    );
  end

  for (genvar b = FirstUltra; b < Banks; b++) begin : gen_ultra
    moesaic_act_ultra_bank #(
        .TileColumns(TileColumns),
        .Words(1 << UltraRowBits)
    ) u_bank (
        .clk_i,
        .rd_enable_i (bank_rd_enable_q[b]),
        .rd_address_i(UltraRowBits'(bank_rd_row_q[b])),
        .rd_data_o   (bank_rd_data[b]),
        .wr_enable_i (bank_wr_enable_q[b]),
        .wr_address_i(UltraRowBits'(bank_wr_row_q[b])),
        .wr_data_i   (bank_wr_data_q[b]),
        .wr_strobe_i (bank_wr_strobe_q[b])
    );
  end

  // --- answers ---

  // Until the banks' output registers show the word of a grant.
  localparam int unsigned BankCycles = moesaic_memory_pkg::ACT_READ_CYCLES - 1;

  logic [BankCycles-1:0][31:0] wide_group_q;

  always_ff @(posedge clk_i) wide_group_q <= {wide_group_q[BankCycles-2:0], wide_rd_address_i & (WideGroups - 1)};

  always_comb begin
    wide_rd_data_o = '0;
    for (int b = 0; b < int'(SharedBanks); b++) begin
      if (wide_group_q[BankCycles-1] == 32'(b >> WideShift)) wide_rd_data_o[WordBits*(b%WideWords)+:WordBits] = bank_rd_data[b];
    end
  end

  // Four parts, each of few words: a LUT for every four banks and one for the parts, for each bit of a client. What a device's
  // configuration has not, is zero.
  logic [ActBanks-1:0][WordBits-1:0] shared_data, block_data;
  logic [1:0][WordBits-1:0] ultra_data;

  assign block_data = bank_rd_data[SharedBanks+:ActBanks];

  if (SharedWords > 0) begin : gen_shared_data
    assign shared_data = bank_rd_data[ActBanks-1:0];
  end else begin : gen_no_shared_data
    assign shared_data = '0;
  end

  if (UltraWords > 0) begin : gen_ultra_data
    assign ultra_data = bank_rd_data[FirstUltra+:2];
  end else begin : gen_no_ultra_data
    assign ultra_data = '0;
  end

  function automatic logic [1:0] part_of(input logic [AddressBits-1:0] address);
    part_of = PartBlock;
    if (SharedWords > 0 && 32'(address) < SharedEnd) part_of = PartShared;
    if (UltraWords > 0 && 32'(address) >= BlockWords) part_of = PartUltra | 2'(address[0]);
  endfunction

  always_ff @(posedge clk_i) begin
    rd_fault_o <= rst_ni ? rd_valid_i & rd_ready_o & rd_outside : '0;
    wr_fault_o <= rst_ni ? wr_valid_i & wr_ready_o & wr_outside : '0;
  end

  // By the cycles since the grant, less one.
  logic [BankCycles:0][NumReads-1:0] pending_q;
  logic [BankCycles-2:0][NumReads-1:0] outside_q;
  logic [BankCycles-2:0][NumReads-1:0][1:0] part_q;
  logic [BankCycles-2:0][NumReads-1:0][LaneBits-1:0] lane_q;
  logic [NumReads-1:0][LaneBits+3:0] next_answer;  // that it comes, that it is zero, and from where

  // Not reset: selects, which mean something only with an answer.
  always_ff @(posedge clk_i) begin
    pending_q <= rst_ni ? {pending_q[BankCycles-1:0], rd_valid_i & rd_ready_o} : '0;
    outside_q <= {outside_q[BankCycles-3:0], rd_outside};
    for (int c = 0; c < NumReads; c++) begin
      part_q[0][c] <= part_of(AddressBits'(rd_address_i[c]));
      lane_q[0][c] <= LaneBits'(rd_address_i[c] & (ActBanks - 1));
    end
    for (int i = 1; i < int'(BankCycles) - 1; i++) begin
      part_q[i] <= part_q[i-1];
      lane_q[i] <= lane_q[i-1];
    end
  end

  assign rd_data_valid_o = pending_q[BankCycles];

  always_comb begin
    for (int c = 0; c < NumReads; c++) begin
      next_answer[c] = {
        pending_q[BankCycles-2][c],
        pending_q[BankCycles-2][c] && outside_q[BankCycles-2][c],
        part_q[BankCycles-2][c],
        lane_q[BankCycles-2][c]
      };
    end
  end

  for (genvar c = 0; c < NumReads; c++) begin : gen_answer
    for (genvar s = 0; s < Slices; s++) begin : gen_slice
      logic answered, zero;
      logic [1:0] part;
      logic [LaneBits-1:0] lane;
      logic [SliceBits-1:0] data;

      moesaic_replica #(
          .Width(LaneBits + 4)
      ) u_select (
          .clk_i,
          .data_i(next_answer[c]),
          .data_o({answered, zero, part, lane})
      );

      always_comb begin
        case (part)
          PartShared: data = shared_data[lane][SliceBits*s+:SliceBits];
          PartBlock: data = block_data[lane][SliceBits*s+:SliceBits];
          default: data = ultra_data[part[0]][SliceBits*s+:SliceBits];
        endcase
      end

      always_ff @(posedge clk_i) begin
        if (zero) rd_data_o[c][SliceBits*s+:SliceBits] <= '0;
        else if (answered) rd_data_o[c][SliceBits*s+:SliceBits] <= data;
      end
    end
  end

endmodule
