// The row statistics of the softmax: matmul leaves each score row's maximum, softmax leaves the reciprocal of each row's sum
// (a multiplier and a shift), which matmul applies to P.V. Every read answers in the cycle after its address.
module row_statistics #(
    parameter int unsigned RowEntries = 128
) (
    input  logic                              clk_i,
    // maxima: written by matmul, read by softmax
    input  logic                              max_we_i,
    input  logic [$clog2(RowEntries) - 1 : 0] max_wr_address_i,
    input  logic [15 : 0]                     max_wr_data_i,
    input  logic [$clog2(RowEntries) - 1 : 0] max_rd_address_i,
    output logic [15 : 0]                     max_rd_data_o,
    // scales: written by softmax, read by matmul
    input  logic                              scale_we_i,
    input  logic [$clog2(RowEntries) - 1 : 0] scale_wr_address_i,
    input  logic [15 : 0]                     scale_wr_multiplier_i,
    input  logic [5 : 0]                      scale_wr_shift_i,
    input  logic [$clog2(RowEntries) - 1 : 0] scale_rd_address_i,
    output logic [15 : 0]                     scale_rd_multiplier_o,
    output logic [5 : 0]                      scale_rd_shift_o
);

  (* ram_style = "block" *) logic [15:0] maxima[RowEntries];
  (* ram_style = "block" *) logic [21:0] scales[RowEntries];

  always_ff @(posedge clk_i) begin
    if (max_we_i) maxima[max_wr_address_i] <= max_wr_data_i;
  end

  always_ff @(posedge clk_i) begin
    max_rd_data_o <= maxima[max_rd_address_i];
  end

  always_ff @(posedge clk_i) begin
    if (scale_we_i) scales[scale_wr_address_i] <= {scale_wr_shift_i, scale_wr_multiplier_i};
  end

  always_ff @(posedge clk_i) begin
    {scale_rd_shift_o, scale_rd_multiplier_o} <= scales[scale_rd_address_i];
  end

endmodule
