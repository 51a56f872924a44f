// The GELU tables, 2 x 1,024 int8, in half a block RAM for every two lanes.
//
// Look-up: result_o is table[index_i][clip10(value_i[lane]) + 512] moesaic_memory_pkg::TABLE_READ_CYCLES later: address,
// RAM, its output register, and the byte that was meant. Values that nobody looks up go the same way. None of these registers is reset.
// Writing: a beat of 16 bytes goes in four words of 32 bits, in cycles without lookup_i; wr_ready_o with the last one. A beat
// beyond the tables is taken without being written, and wr_fault_o is high in the next cycle.
//
// Every SliceLanes lanes have a register of their own for the word that is written: its enable has 10 * SliceLanes loads and
// chooses the RAMs' addresses.
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
  localparam int unsigned SliceLanes = 8;
  localparam int unsigned Slices = Lanes / SliceLanes;

  if (Lanes % SliceLanes != 0) begin : gen_check
    $fatal(1, "gelu_table: Lanes is %0d, it must be a multiple of %0d", Lanes, SliceLanes);
  end

  logic [1:0] beat_word_q;
  logic outside, write;
  logic [IndexBits-2:0] wr_word;    // of 32 bits
  logic [31:0] wr_data;

  // A word is written in the next cycle, in which the RAMs would read for a look-up of this one.
  assign outside = wr_address_i >= Bytes;
  assign write = wr_valid_i && !outside && !lookup_i;
  assign wr_ready_o = wr_valid_i && (outside || (write && beat_word_q == 2'd3));
  assign wr_word = {wr_address_i[IndexBits:4], beat_word_q};
  assign wr_data = wr_data_i[32*beat_word_q+:32];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      beat_word_q <= '0;
      wr_fault_o <= 1'b0;
    end else begin
      if (write) beat_word_q <= beat_word_q + 1'b1;
      wr_fault_o <= wr_valid_i && outside;
    end
  end

  logic [Lanes-1:0][IndexBits:0] address_q;
  logic [1:0][Lanes-1:0] byte_q;
  logic [Lanes-1:0][15:0] word_q, output_q;

  always_ff @(posedge clk_i) begin
    for (int lane = 0; lane < Lanes; lane++) begin
      // clip to IndexBits; adding half the table's entries inverts the sign bit
      if (value_i[lane][15:IndexBits-1] == '0 || value_i[lane][15:IndexBits-1] == '1) begin
        address_q[lane] <= {index_i, ~value_i[lane][IndexBits-1], value_i[lane][IndexBits-2:0]};
      end else begin
        address_q[lane] <= {index_i, ~value_i[lane][15], {(IndexBits - 1) {~value_i[lane][15]}}};
      end
      byte_q[0][lane] <= address_q[lane][0];
      byte_q[1][lane] <= byte_q[0][lane];
      output_q[lane] <= word_q[lane];
      result_o[lane] <= output_q[lane][8*byte_q[1][lane]+:8];
    end
  end

  for (genvar s = 0; s < Slices; s++) begin : gen_slice
    logic slice_write;
    logic [IndexBits-2:0] slice_word;
    logic [31:0] slice_data;

    moesaic_replica #(
        .Width($bits({slice_write, slice_word, slice_data}))
    ) u_write (
        .clk_i,
        .data_i({write, wr_word, wr_data}),
        .data_o({slice_write, slice_word, slice_data})
    );

    for (genvar p = SliceLanes / 2 * s; p < SliceLanes / 2 * (s + 1); p++) begin : gen_pair
      (* ram_style = "block" *) logic [15:0] memory[Words];
      logic [IndexBits-1:0] even_address, odd_address;

      // A port for each lane; the writer uses both, for the halves of 32 bits.
      assign even_address = slice_write ? {slice_word, 1'b0} : address_q[2*p][IndexBits:1];
      assign odd_address = slice_write ? {slice_word, 1'b1} : address_q[2*p+1][IndexBits:1];

      // Two processes, as tools expect of a RAM with two ports.
      /* verilator lint_off MULTIDRIVEN */
      always @(posedge clk_i) begin
        if (slice_write) memory[even_address] <= slice_data[15:0];
        else word_q[2*p] <= memory[even_address];
      end

      always @(posedge clk_i) begin
        if (slice_write) memory[odd_address] <= slice_data[31:16];
        else word_q[2*p+1] <= memory[odd_address];
      end
      /* verilator lint_on MULTIDRIVEN */
    end
  end

endmodule
