// The GELU tables, 2 x 1,024 int8, in half a block RAM for every two lanes.
//
// Look-up: with lookup_i, result_o is table[index_i][clip10(value_i[lane]) + 512] moesaic_memory_pkg::TABLE_READ_CYCLES later: address, RAM, its output
// register, and the byte that was meant, in a register. None of these is reset: nobody looks at what was not looked up.
// Writing: a beat of 16 bytes goes in four words of 32 bits, in cycles in which no look-up reads the RAM; wr_ready_o with the last
// one. A beat beyond the tables is taken without being written, and wr_fault_o is high in the next cycle.
module moesaic_gelu_table #(
    parameter int unsigned Lanes = 8
) (
    input  logic                          clk_i,
    input  logic                          rst_ni,
    input  logic                          lookup_i,
    input  logic                          index_i,
    input  logic [Lanes-1:0][15:0]  value_i,
    output logic [Lanes-1:0][7:0]   result_o,
    input  logic                          wr_valid_i,
    output logic                          wr_ready_o,
    input  logic [31:0]                   wr_address_i,
    input  logic [127:0]                  wr_data_i,
    output logic                          wr_fault_o
);

  localparam int unsigned Bytes = 2 * moesaic_isa_pkg::TABLE_ENTRIES;
  localparam int unsigned Words = Bytes / 2;
  localparam int unsigned IndexBits = moesaic_isa_pkg::TABLE_INDEX_BITS;

  // In the cycle in which the RAM is read.
  logic lookup_q;
  logic [1:0] beat_word_q;
  logic outside, write;
  logic [IndexBits-2:0] wr_word;    // of 32 bits
  logic [31:0] wr_data;

  assign outside = wr_address_i >= Bytes;
  assign write = wr_valid_i && !outside && !lookup_q;
  assign wr_ready_o = wr_valid_i && (outside || (write && beat_word_q == 2'd3));
  assign wr_word = {wr_address_i[IndexBits:4], beat_word_q};
  assign wr_data = wr_data_i[32*beat_word_q+:32];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      lookup_q <= 1'b0;
      beat_word_q <= '0;
      wr_fault_o <= 1'b0;
    end else begin
      lookup_q <= lookup_i;
      if (write) beat_word_q <= beat_word_q + 1'b1;
      wr_fault_o <= wr_valid_i && outside;
    end
  end

  logic [Lanes-1:0][IndexBits:0] address_q;
  logic [1:0][Lanes-1:0] byte_q;
  logic [Lanes-1:0][15:0] word_q, output_q;

  always_ff @(posedge clk_i) begin
    for (int lane = 0; lane < Lanes; lane++) begin
      if (lookup_i) begin
        // clip to IndexBits; adding half the table's entries inverts the sign bit
        if (value_i[lane][15:IndexBits-1] == '0 || value_i[lane][15:IndexBits-1] == '1) begin
          address_q[lane] <= {index_i, ~value_i[lane][IndexBits-1], value_i[lane][IndexBits-2:0]};
        end else begin
          address_q[lane] <= {index_i, ~value_i[lane][15], {(IndexBits - 1) {~value_i[lane][15]}}};
        end
      end
      byte_q[0][lane] <= address_q[lane][0];
      byte_q[1][lane] <= byte_q[0][lane];
      output_q[lane] <= word_q[lane];
      result_o[lane] <= output_q[lane][8*byte_q[1][lane]+:8];
    end
  end

  for (genvar p = 0; p < Lanes / 2; p++) begin : gen_pair
    (* ram_style = "block" *) logic [15:0] memory[Words];
    logic [IndexBits-1:0] even_address, odd_address;

    // A port for each lane; the writer uses both, for the halves of 32 bits.
    assign even_address = lookup_q ? address_q[2*p][IndexBits:1] : {wr_word, 1'b0};
    assign odd_address = lookup_q ? address_q[2*p+1][IndexBits:1] : {wr_word, 1'b1};

    // Two processes, as tools expect of a RAM with two ports.
    /* verilator lint_off MULTIDRIVEN */
    always @(posedge clk_i) begin
      if (write) memory[even_address] <= wr_data[15:0];
      else word_q[2*p] <= memory[even_address];
    end

    always @(posedge clk_i) begin
      if (write) memory[odd_address] <= wr_data[31:16];
      else word_q[2*p+1] <= memory[odd_address];
    end
    /* verilator lint_on MULTIDRIVEN */
  end

endmodule
