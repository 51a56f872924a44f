// AXI4 with beats of 128 bits and addresses of 40, and AXI4-Lite of the control port: what goes each way on a port, as one struct.
//
// Bursts are of the INCR type and there are no identifiers. Where there are several ports, a packed array of structs would do, but
// Yosys cannot index one: such arrays have elements of *_BITS, and each element is a struct again where it is used.
/* verilator lint_off UNUSEDPARAM */
package moesaic_axi_pkg;

  typedef struct packed {
    logic [39:0] addr;
    logic [7:0]  len;      // beats - 1
    logic [2:0]  size;
    logic [1:0]  burst;
    logic [3:0]  cache;
    logic [2:0]  prot;
  } burst_t;

  typedef struct packed {
    logic [127:0] data;
    logic [1:0]   resp;
    logic         last;
  } read_beat_t;

  typedef struct packed {
    logic [127:0] data;
    logic [15:0]  strb;
    logic         last;
  } write_beat_t;

  // Requests go from master to slave, responses from slave to master.
  typedef struct packed {
    burst_t ar;
    logic   arvalid;
    logic   rready;
  } read_request_t;

  typedef struct packed {
    logic       arready;
    read_beat_t r;
    logic       rvalid;
  } read_response_t;

  typedef struct packed {
    burst_t      aw;
    logic        awvalid;
    write_beat_t w;
    logic        wvalid;
    logic        bready;
  } write_request_t;

  typedef struct packed {
    logic       awready;
    logic       wready;
    logic [1:0] bresp;
    logic       bvalid;
  } write_response_t;

  typedef struct packed {
    logic [11:0] awaddr;
    logic [2:0]  awprot;
    logic        awvalid;
    logic [31:0] wdata;
    logic [3:0]  wstrb;
    logic        wvalid;
    logic        bready;
    logic [11:0] araddr;
    logic [2:0]  arprot;
    logic        arvalid;
    logic        rready;
  } lite_request_t;

  typedef struct packed {
    logic        awready;
    logic        wready;
    logic [1:0]  bresp;
    logic        bvalid;
    logic        arready;
    logic [31:0] rdata;
    logic [1:0]  rresp;
    logic        rvalid;
  } lite_response_t;

  localparam logic [1:0] BURST_INCR       = 2'b01;
  localparam logic [2:0] SIZE_16_BYTES    = 3'd4;
  localparam logic [3:0] CACHE_BUFFERABLE = 4'b0011;    // normal, bufferable, not cached
  localparam logic [2:0] PROT_DATA        = 3'b000;     // unprivileged, secure, data
  localparam logic [1:0] RESP_OKAY        = 2'b00;      // of the four, those with bit 1 set are errors

  localparam read_request_t  NO_READ_REQUEST  = '0;
  localparam read_response_t NO_READ_RESPONSE = '0;
  localparam write_request_t NO_WRITE_REQUEST = '0;
  localparam int unsigned READ_REQUEST_BITS  = $bits(NO_READ_REQUEST);
  localparam int unsigned READ_RESPONSE_BITS = $bits(NO_READ_RESPONSE);

  // The only kind of burst there is: len + 1 whole beats from addr on.
  function automatic burst_t burst(input logic [39:0] addr, input logic [7:0] len);
    burst = {addr, len, SIZE_16_BYTES, BURST_INCR, CACHE_BUFFERABLE, PROT_DATA};
  endfunction

endpackage
/* verilator lint_on UNUSEDPARAM */
