// moesaic_kernel_control as an AXI4-Lite subordinate: the bus rules. The kernel behind may do anything.
module kernel_control_proof (
    input logic                           clk_i,
    input logic                           rst_ni,
    input moesaic_axi_pkg::lite_request_t request_i,
    input logic                           kernel_ready_i,
    input logic                           kernel_done_i,
    input logic [3:0]                     fault_i,
    input logic                           fault_valid_i,
    input logic [31:0]                    instructions_i,
    input logic                           instructions_valid_i
);

  moesaic_axi_pkg::lite_response_t response;
  logic irq, kernel_start;

  reset_assumed u_reset (.clk_i, .rst_ni);

  moesaic_kernel_control u_kernel (
      .clk_i,
      .rst_ni,
      .irq_o                (irq),
      .s_axi_control_awaddr (request_i.awaddr),
      .s_axi_control_awprot (request_i.awprot),
      .s_axi_control_awvalid(request_i.awvalid),
      .s_axi_control_awready(response.awready),
      .s_axi_control_wdata  (request_i.wdata),
      .s_axi_control_wstrb  (request_i.wstrb),
      .s_axi_control_wvalid (request_i.wvalid),
      .s_axi_control_wready (response.wready),
      .s_axi_control_bresp  (response.bresp),
      .s_axi_control_bvalid (response.bvalid),
      .s_axi_control_bready (request_i.bready),
      .s_axi_control_araddr (request_i.araddr),
      .s_axi_control_arprot (request_i.arprot),
      .s_axi_control_arvalid(request_i.arvalid),
      .s_axi_control_arready(response.arready),
      .s_axi_control_rdata  (response.rdata),
      .s_axi_control_rresp  (response.rresp),
      .s_axi_control_rvalid (response.rvalid),
      .s_axi_control_rready (request_i.rready),
      .kernel_start_o       (kernel_start),
      .kernel_ready_i,
      .kernel_done_i,
      .constant_base_o      (),
      .constant_size_o      (),
      .frame_base_o         (),
      .frame_size_o         (),
      .program_offset_o     (),
      .program_size_o       (),
      .fault_i              ({28'd0, fault_i}),
      .fault_valid_i,
      .fault_unit_i         (32'd1),
      .fault_unit_valid_i   (fault_valid_i),
      .fault_tag_i          (32'd7),
      .fault_tag_valid_i    (fault_valid_i),
      .instructions_i,
      .instructions_valid_i,
      .matmul_array_i       ('0),
      .matmul_array_valid_i (1'b0),
      .read_beats_i         ('0),
      .read_beats_valid_i   (1'b0),
      .write_beats_i        ('0),
      .write_beats_valid_i  (1'b0)
  );

  axi_lite_rules u_rules (
      .clk_i,
      .rst_ni,
      .request_i,
      .response_i(response)
  );

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      responses_are_okay: assert (response.bresp == 2'b00 && response.rresp == 2'b00);                               // A3.4.4
      accepts_only_what_is_offered: assert (!u_kernel.u_control.write_accept_q
          || (request_i.awvalid && request_i.wvalid && !response.bvalid));
      accepts_reads_that_are_offered: assert (!u_kernel.u_control.read_accept_q || (request_i.arvalid && !response.rvalid));
      response_for_each: assert (u_rules.addresses_q == 2'(response.bvalid) && u_rules.datas_q == 2'(response.bvalid)
          && u_rules.reads_q == 2'(response.rvalid));
      starts: cover (kernel_start);
    end
  end

endmodule
