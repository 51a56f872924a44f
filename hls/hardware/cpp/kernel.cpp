// The top function for Vitis HLS: one run of one program.
//
// The register map that the host sees is not an s_axilite port of this function. Vitis HLS gives such a port its own layout at
// 0x00 to 0x0c (start, done, interrupts), which is not that of spec/registers.py. The kernel has a plain ap_ctrl_hs handshake and
// scalar ports instead, and rtl/kernel_control.sv stands in front of it: the same register file, byte for byte, as that of the
// RTL engine, so the host cannot tell which of the two is in the bitstream.
//
// load_memory, main_memory: DRAM from physical address 0 on (offset=off); the windows begin at constant_base and frame_base, in
// bytes, multiples of 4,096. Two ports, because co-simulation gives each port a memory of its own: what is read through
// load_memory is never written in the same run (instructions, weights, image), what is written goes through main_memory.
// The units take turns on the shared memories: this version has the results of the RTL, not its overlap of loads, products and
// vector work.
#include "control.hpp"
#include "memory_depth.hpp"

using namespace moesaic;

extern "C" void kernel(const Beat *load_memory, Beat *main_memory, uint64_t constant_base, uint32_t constant_size,
                       uint64_t frame_base, uint32_t frame_size, uint32_t program_offset, uint32_t program_size,
                       uint32_t *fault, uint32_t *fault_unit, uint32_t *fault_tag, uint32_t *instructions,
                       uint32_t *matmul_array, uint32_t *read_beats, uint32_t *write_beats) {
// Bursts: 64 beats of 16 bytes are the 1 KiB that the RTL asks for at a time; an instruction is 4 beats, so fetch needs no more.
// 16 outstanding reads of 64 beats cover 60 cycles of latency sixteen times over; more would only cost block RAM.
#pragma HLS INTERFACE mode=m_axi port=load_memory bundle=load offset=off depth=MEMORY_BEATS max_read_burst_length=64 num_read_outstanding=16 latency=60
#pragma HLS INTERFACE mode=m_axi port=main_memory bundle=main offset=off depth=MEMORY_BEATS max_read_burst_length=4 num_read_outstanding=4 max_write_burst_length=64 num_write_outstanding=16 latency=60
#pragma HLS INTERFACE mode=ap_none port=constant_base
#pragma HLS INTERFACE mode=ap_none port=constant_size
#pragma HLS INTERFACE mode=ap_none port=frame_base
#pragma HLS INTERFACE mode=ap_none port=frame_size
#pragma HLS INTERFACE mode=ap_none port=program_offset
#pragma HLS INTERFACE mode=ap_none port=program_size
#pragma HLS INTERFACE mode=ap_vld port=fault
#pragma HLS INTERFACE mode=ap_vld port=fault_unit
#pragma HLS INTERFACE mode=ap_vld port=fault_tag
#pragma HLS INTERFACE mode=ap_vld port=instructions
#pragma HLS INTERFACE mode=ap_vld port=matmul_array
#pragma HLS INTERFACE mode=ap_vld port=read_beats
#pragma HLS INTERFACE mode=ap_vld port=write_beats
#pragma HLS INTERFACE mode=ap_ctrl_hs port=return
  // Not static: such an array is given its initial values with the bitstream, and UltraRAM takes none. No program uses what an earlier
  // run has left.
  Machine machine;
  // A word of a memory is an element of each of its RAMs, 128 bits wide: two block RAMs or two UltraRAMs side by side.
#pragma HLS ARRAY_PARTITION variable=machine.act.block type=complete dim=2
#pragma HLS ARRAY_PARTITION variable=machine.act.block type=complete dim=3
#pragma HLS BIND_STORAGE variable=machine.act.block type=ram_2p impl=bram
#pragma HLS ARRAY_PARTITION variable=machine.act.ultra type=complete dim=2
#pragma HLS BIND_STORAGE variable=machine.act.ultra type=ram_2p impl=uram
#pragma HLS ARRAY_PARTITION variable=machine.weight.lane type=complete dim=2
#pragma HLS BIND_STORAGE variable=machine.weight.lane type=ram_2p impl=uram
  // Tables: a copy for two lanes, which takes both ports of a block RAM.
#pragma HLS ARRAY_PARTITION variable=machine.table.byte type=complete dim=1
#pragma HLS BIND_STORAGE variable=machine.table.byte type=ram_t2p impl=bram
#pragma HLS BIND_STORAGE variable=machine.rows.maximum type=ram_2p impl=bram
#pragma HLS BIND_STORAGE variable=machine.rows.multiplier type=ram_2p impl=bram
#pragma HLS BIND_STORAGE variable=machine.rows.shift type=ram_2p impl=bram
  // Queues: all experts' entries in one RAM, their counts in registers.
#pragma HLS ARRAY_PARTITION variable=machine.queue.count type=complete
#pragma HLS BIND_STORAGE variable=machine.queue.token type=ram_2p impl=bram
#pragma HLS BIND_STORAGE variable=machine.queue.score type=ram_2p impl=bram

  clear(machine.queue);
  RunInputs inputs;
  inputs.constant_size = constant_size;
  inputs.frame_size = frame_size;
  inputs.program_offset = program_offset;
  inputs.program_size = program_size;
  Waits waits;  // for the emulator: the register file has no place for it
#pragma HLS ARRAY_PARTITION variable=waits.semaphores type=complete
#pragma HLS ARRAY_PARTITION variable=waits.tag type=complete
  const uint64_t constants = constant_base / BEAT_BYTES;
  const uint64_t frame = frame_base / BEAT_BYTES;
  const RunOutputs outputs = run(machine, main_memory + constants, load_memory + constants, load_memory + frame,
                                 main_memory + frame, inputs, waits);
  *fault = outputs.fault;
  *fault_unit = outputs.fault_unit;
  *fault_tag = outputs.fault_tag;
  *instructions = uint32_t(outputs.events.instructions);
  *matmul_array = uint32_t(outputs.events.matmul_array);
  *read_beats = uint32_t(outputs.events.read_beats);
  *write_beats = uint32_t(outputs.events.write_beats);
}
