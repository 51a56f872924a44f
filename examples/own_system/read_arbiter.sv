// AXI4 read masters without identifiers onto one port with identifiers: the number of the master is the identifier of its bursts.
//
// Requests take turns and wait in a register, so that one that was shown stays until it is taken. Beats go where their identifier says;
// memory may reorder bursts of different masters.
module read_arbiter #(
    parameter int unsigned Masters = 4,
    parameter int unsigned IdBits  = 2
) (
    input  logic clk_i,
    input  logic rst_ni,

    input  logic [Masters-1:0][39:0]  s_axi_araddr,
    input  logic [Masters-1:0][7:0]   s_axi_arlen,
    input  logic [Masters-1:0]        s_axi_arvalid,
    output logic [Masters-1:0]        s_axi_arready,
    output logic [Masters-1:0][127:0] s_axi_rdata,
    output logic [Masters-1:0][1:0]   s_axi_rresp,
    output logic [Masters-1:0]        s_axi_rlast,
    output logic [Masters-1:0]        s_axi_rvalid,
    input  logic [Masters-1:0]        s_axi_rready,

    output logic [IdBits-1:0] m_axi_arid,
    output logic [39:0]       m_axi_araddr,
    output logic [7:0]        m_axi_arlen,
    output logic [2:0]        m_axi_arsize,
    output logic [1:0]        m_axi_arburst,
    output logic              m_axi_arvalid,
    input  logic              m_axi_arready,
    input  logic [IdBits-1:0] m_axi_rid,
    input  logic [127:0]      m_axi_rdata,
    input  logic [1:0]        m_axi_rresp,
    input  logic              m_axi_rlast,
    input  logic              m_axi_rvalid,
    output logic              m_axi_rready
);

  logic [IdBits-1:0] turn_q, chosen;
  logic take;

  // The first master with a request from turn_q on; the last assignment wins.
  always_comb begin
    chosen = turn_q;
    for (int m = int'(Masters) - 1; m >= 0; m--) if (s_axi_arvalid[m]) chosen = IdBits'(m);
    for (int m = int'(Masters) - 1; m >= 0; m--) if (s_axi_arvalid[m] && IdBits'(m) >= turn_q) chosen = IdBits'(m);
  end

  assign take = s_axi_arvalid[chosen] && (!m_axi_arvalid || m_axi_arready);

  always_comb begin
    s_axi_arready         = '0;
    s_axi_arready[chosen] = take;
  end

  always_ff @(posedge clk_i) begin
    if (take) begin
      turn_q       <= chosen == IdBits'(Masters - 1) ? '0 : chosen + 1'b1;
      m_axi_arid   <= chosen;
      m_axi_araddr <= s_axi_araddr[chosen];
      m_axi_arlen  <= s_axi_arlen[chosen];
    end
    if (take) m_axi_arvalid <= 1'b1;
    else if (m_axi_arready) m_axi_arvalid <= 1'b0;
    if (!rst_ni) begin
      turn_q        <= '0;
      m_axi_arvalid <= 1'b0;
    end
  end

  assign m_axi_arsize  = 3'd4;     // 16 bytes a beat
  assign m_axi_arburst = 2'b01;    // INCR

  always_comb begin
    s_axi_rvalid            = '0;
    s_axi_rvalid[m_axi_rid] = m_axi_rvalid;
  end

  assign s_axi_rdata  = {Masters{m_axi_rdata}};
  assign s_axi_rresp  = {Masters{m_axi_rresp}};
  assign s_axi_rlast  = {Masters{m_axi_rlast}};
  assign m_axi_rready = s_axi_rready[m_axi_rid];

endmodule
