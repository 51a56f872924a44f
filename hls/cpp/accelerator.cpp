// The top function for Vitis HLS.
//
// Pointers of one bundle share an AXI port; their offsets, the window bases, arrive as plain scalars like all other
// registers, so that a register file with the offsets of isa.hpp can stand in front. The units take turns on the shared
// memories: this version has the results of the RTL, not its overlap of loads, products and vector work.
#include "control.hpp"

using namespace moesaic;

extern "C" void accelerator(const Beat *load_constants, const Beat *load_frame, const Beat *main_constants,
                            Beat *main_frame, uint32_t constant_size, uint32_t frame_size, uint32_t program_offset,
                            uint32_t program_size, uint64_t *fingerprint, RunOutputs *outputs) {
#pragma HLS INTERFACE m_axi port=load_constants bundle=load offset=direct max_read_burst_length=64
#pragma HLS INTERFACE m_axi port=load_frame bundle=load offset=direct
#pragma HLS INTERFACE m_axi port=main_constants bundle=main offset=direct max_read_burst_length=16
#pragma HLS INTERFACE m_axi port=main_frame bundle=main offset=direct max_write_burst_length=64 num_write_outstanding=16
#pragma HLS INTERFACE ap_none port=constant_size
#pragma HLS INTERFACE ap_none port=frame_size
#pragma HLS INTERFACE ap_none port=program_offset
#pragma HLS INTERFACE ap_none port=program_size
#pragma HLS INTERFACE ap_none port=fingerprint
#pragma HLS INTERFACE ap_vld port=outputs
#pragma HLS INTERFACE ap_ctrl_hs port=return
  static Machine machine;
#pragma HLS ARRAY_RESHAPE variable=machine.act.byte cyclic factor=ACT_WORD_BYTES
#pragma HLS BIND_STORAGE variable=machine.act.byte type=ram_2p impl=bram
#pragma HLS ARRAY_RESHAPE variable=machine.weight.byte cyclic factor=WEIGHT_WORD_BYTES
#pragma HLS BIND_STORAGE variable=machine.weight.byte type=ram_2p impl=uram
  *fingerprint = FINGERPRINT;

  // Fetch and store share the main port, load has its own. Both see the same two windows.
  RunInputs inputs;
  inputs.fetch_constants = ReadWindow{main_constants, constant_size};
  inputs.load_constants = ReadWindow{load_constants, constant_size};
  inputs.load_frame = ReadWindow{load_frame, frame_size};
  inputs.store_frame = WriteWindow{main_frame, frame_size};
  inputs.program_offset = program_offset;
  inputs.program_size = program_size;
  *outputs = run(machine, inputs);
}
