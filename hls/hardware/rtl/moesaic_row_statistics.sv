// The row statistics of the softmax: matmul leaves each score row's maximum, softmax leaves the reciprocal of each row's sum
// (a multiplier and a shift), which matmul applies to P.V. A maximum is there moesaic_memory_pkg::MAXIMUM_READ_CYCLES after its
// address, a scale after SCALE_READ_CYCLES: both pass the output register of their block RAM, maxima also one behind the
// multiplexer over ports. None of them is reset: nobody looks at what was not asked for. A select has 16 loads.
//
// matmul works on ActPorts rows per cycle: its port p only addresses entries e with e % ActPorts == p.
module moesaic_row_statistics #(
    parameter int unsigned RowEntries = 128,
    parameter int unsigned ActPorts   = 2
) (
    input  logic                                              clk_i,
    // maxima: written by matmul, read by softmax
    input  logic [ActPorts - 1 : 0]                           max_we_i,
    input  logic [ActPorts - 1 : 0][$clog2(RowEntries) - 1 : 0] max_wr_address_i,
    input  logic [ActPorts - 1 : 0][15 : 0]                   max_wr_data_i,
    input  logic [$clog2(RowEntries) - 1 : 0]                 max_rd_address_i,
    output logic [15 : 0]                                     max_rd_data_o,
    // scales: written by softmax, read by matmul
    input  logic                                              scale_we_i,
    input  logic [$clog2(RowEntries) - 1 : 0]                 scale_wr_address_i,
    input  logic [15 : 0]                                     scale_wr_multiplier_i,
    input  logic [5 : 0]                                      scale_wr_shift_i,
    input  logic [ActPorts - 1 : 0][$clog2(RowEntries) - 1 : 0] scale_rd_address_i,
    output logic [ActPorts - 1 : 0][15 : 0]                   scale_rd_multiplier_o,
    output logic [ActPorts - 1 : 0][5 : 0]                    scale_rd_shift_o
);

  localparam int unsigned RowBits   = $clog2(RowEntries);
  localparam int unsigned PortShift = $clog2(ActPorts);
  localparam int unsigned PortBits  = (ActPorts > 1) ? PortShift : 1;
  localparam int unsigned BankRows  = RowEntries / ActPorts;
  localparam int unsigned BankBits  = (BankRows > 1) ? $clog2(BankRows) : 1;

  if ((1 << PortShift) != ActPorts || RowEntries % ActPorts != 0) begin : gen_check
    $fatal(1, "row_statistics: ActPorts is %0d, it must be a power of two that divides RowEntries, %0d", ActPorts, RowEntries);
  end

  logic [ActPorts-1:0][15:0] max_rd_data_q;
  logic [PortBits-1:0] max_port, scale_port;
  logic [1:0][PortBits-1:0] max_port_q;
  assign max_port      = PortBits'(max_rd_address_i & RowBits'(ActPorts - 1));
  assign scale_port    = PortBits'(scale_wr_address_i & RowBits'(ActPorts - 1));

  always_ff @(posedge clk_i) begin
    max_port_q    <= {max_port_q[0], max_port};
    max_rd_data_o <= max_rd_data_q[max_port_q[1]];
  end

  for (genvar p = 0; p < ActPorts; p++) begin : gen_bank
    (* ram_style = "block" *) logic [15:0] maxima[BankRows];
    (* ram_style = "block" *) logic [21:0] scales[BankRows];
    logic [15:0] maximum_q;
    logic [21:0] scale_q;

    always_ff @(posedge clk_i) begin
      if (max_we_i[p]) maxima[BankBits'(max_wr_address_i[p] >> PortShift)] <= max_wr_data_i[p];
    end

    always_ff @(posedge clk_i) begin
      maximum_q        <= maxima[BankBits'(max_rd_address_i >> PortShift)];
      max_rd_data_q[p] <= maximum_q;
    end

    always_ff @(posedge clk_i) begin
      if (scale_we_i && scale_port == PortBits'(p)) begin
        scales[BankBits'(scale_wr_address_i >> PortShift)] <= {scale_wr_shift_i, scale_wr_multiplier_i};
      end
    end

    always_ff @(posedge clk_i) begin
      scale_q <= scales[BankBits'(scale_rd_address_i[p] >> PortShift)];
      {scale_rd_shift_o[p], scale_rd_multiplier_o[p]} <= scale_q;
    end
  end

endmodule
