// The activation memory: words of 2 * TileColumns bytes in ActBanks banks, interleaved on the low bits of the word address.
//
// Each bank serves one read and one write per cycle; the client with the lowest index wins. A read is answered exactly two
// cycles after its grant, without back-pressure. A write granted in cycle t is seen by reads granted from t + 1 on.
// Addresses are word addresses, compared over all 32 bits: one beyond the memory is granted, reads zero, writes nothing and
// raises the client's fault output in the cycle after the grant.
module act_memory #(
    parameter int unsigned TileColumns = 8,
    parameter int unsigned ActBytes = 131072,
    parameter int unsigned ActBanks = 4,
    parameter int unsigned NumReads = 5,
    parameter int unsigned NumWrites = 3
) (
    input  logic                                             clk_i,
    input  logic                                             rst_ni,
    // reads: 0 matmul operand, 1 matmul residual, 2 vector, 3 route, 4 store
    input  logic [NumReads - 1 : 0]                          rd_valid_i,
    output logic [NumReads - 1 : 0]                          rd_ready_o,
    input  logic [NumReads - 1 : 0][31 : 0]                  rd_address_i,
    output logic [NumReads - 1 : 0]                          rd_data_valid_o,
    output logic [NumReads - 1 : 0][16 * TileColumns - 1 : 0] rd_data_o,
    output logic [NumReads - 1 : 0]                          rd_fault_o,
    // writes: 0 matmul, 1 vector, 2 load
    input  logic [NumWrites - 1 : 0]                         wr_valid_i,
    output logic [NumWrites - 1 : 0]                         wr_ready_o,
    input  logic [NumWrites - 1 : 0][31 : 0]                 wr_address_i,
    input  logic [NumWrites - 1 : 0][16 * TileColumns - 1 : 0] wr_data_i,
    input  logic [NumWrites - 1 : 0][2 * TileColumns - 1 : 0] wr_strobe_i,
    output logic [NumWrites - 1 : 0]                         wr_fault_o
);

  localparam int unsigned Words = ActBytes / (2 * TileColumns);
  localparam int unsigned BankWords = Words / ActBanks;
  localparam int unsigned BankShift = $clog2(ActBanks);
  localparam int unsigned BankBits = (ActBanks > 1) ? BankShift : 1;
  localparam int unsigned RowBits = $clog2(BankWords);
  localparam int unsigned WordBits = 16 * TileColumns;

  if (Words % ActBanks != 0 || BankWords < 2) begin : gen_check
    $fatal(1, "ActBytes must be a multiple of the bytes of one word in every bank, at least two");
  end

  logic [ActBanks-1:0] bank_rd_enable;
  logic [ActBanks-1:0][RowBits-1:0] bank_rd_address;
  logic [ActBanks-1:0][WordBits-1:0] bank_rd_data;
  logic [ActBanks-1:0] bank_wr_enable;
  logic [ActBanks-1:0][RowBits-1:0] bank_wr_address;
  logic [ActBanks-1:0][WordBits-1:0] bank_wr_data;
  logic [ActBanks-1:0][2*TileColumns-1:0] bank_wr_strobe;

  logic [NumReads-1:0][BankBits-1:0] rd_bank;
  logic [NumReads-1:0] rd_outside;
  logic [NumWrites-1:0][BankBits-1:0] wr_bank;
  logic [NumWrites-1:0] wr_outside;

  always_comb begin
    for (int c = 0; c < NumReads; c++) begin
      rd_bank[c] = BankBits'(rd_address_i[c] & (ActBanks - 1));
      rd_outside[c] = rd_address_i[c] >= Words;
    end
    for (int c = 0; c < NumWrites; c++) begin
      wr_bank[c] = BankBits'(wr_address_i[c] & (ActBanks - 1));
      wr_outside[c] = wr_address_i[c] >= Words;
    end
  end

  always_comb begin
    rd_ready_o = '0;
    bank_rd_enable = '0;
    bank_rd_address = '0;
    for (int b = 0; b < ActBanks; b++) begin
      for (int c = 0; c < NumReads; c++) begin
        if (!bank_rd_enable[b] && rd_valid_i[c] && rd_bank[c] == BankBits'(b)) begin
          bank_rd_enable[b] = 1'b1;
          bank_rd_address[b] = RowBits'(rd_address_i[c] >> BankShift);
          rd_ready_o[c] = 1'b1;
        end
      end
    end
  end

  always_comb begin
    wr_ready_o = '0;
    bank_wr_enable = '0;
    bank_wr_address = '0;
    bank_wr_data = '0;
    bank_wr_strobe = '0;
    for (int b = 0; b < ActBanks; b++) begin
      for (int c = 0; c < NumWrites; c++) begin
        if (!bank_wr_enable[b] && wr_valid_i[c] && wr_bank[c] == BankBits'(b)) begin
          bank_wr_enable[b] = 1'b1;
          bank_wr_address[b] = RowBits'(wr_address_i[c] >> BankShift);
          bank_wr_data[b] = wr_data_i[c];
          bank_wr_strobe[b] = wr_outside[c] ? '0 : wr_strobe_i[c];
          wr_ready_o[c] = 1'b1;
        end
      end
    end
  end

  for (genvar b = 0; b < ActBanks; b++) begin : gen_bank
    act_bank #(
        .TileColumns(TileColumns),
        .Words(BankWords)
    ) u_bank (
        .clk_i,
        .rd_enable_i (bank_rd_enable[b]),
        .rd_address_i(bank_rd_address[b]),
        .rd_data_o   (bank_rd_data[b]),
        .wr_enable_i (bank_wr_enable[b]),
        .wr_address_i(bank_wr_address[b]),
        .wr_data_i   (bank_wr_data[b]),
        .wr_strobe_i (bank_wr_strobe[b])
    );
  end

  // The bank answers after one cycle; the second one selects the bank into the client's register.
  logic [NumReads-1:0] pending_q;
  logic [NumReads-1:0][BankBits-1:0] pending_bank_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      pending_q <= '0;
      rd_data_valid_o <= '0;
      rd_fault_o <= '0;
      wr_fault_o <= '0;
    end else begin
      pending_q <= rd_valid_i & rd_ready_o;
      rd_data_valid_o <= pending_q;
      rd_fault_o <= rd_valid_i & rd_ready_o & rd_outside;
      wr_fault_o <= wr_valid_i & wr_ready_o & wr_outside;
    end
    pending_bank_q <= rd_bank;
    for (int c = 0; c < NumReads; c++) begin
      if (pending_q[c]) rd_data_o[c] <= rd_fault_o[c] ? '0 : bank_rd_data[pending_bank_q[c]];
    end
  end

endmodule
