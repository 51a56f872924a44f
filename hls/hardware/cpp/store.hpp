// The store unit: activation memory to the frame window.
#ifndef MOESAIC_STORE_HPP
#define MOESAIC_STORE_HPP

#include "machine.hpp"
#include "transfer_loop.hpp"

namespace moesaic {

inline uint32_t store(const Store &f, Beat *frame, uint32_t frame_size, const Machine &machine, Events &events) {
#pragma HLS INLINE
store_3:
  for (uint32_t i3 = 0; i3 < f.count_3; i3++) {
  store_2:
    for (uint32_t i2 = 0; i2 < f.count_2; i2++) {
    store_1:
      for (uint32_t i1 = 0; i1 < f.count_1; i1++) {
        const Run run = transfer_run(f, i1, i2, i3);
        if (!inside(run.dram, f.bytes, frame_size) || !inside_act(run.local, f.bytes)) return FAULT_ADDRESS;
        const uint32_t beats = f.bytes / BEAT_BYTES;
        const uint64_t first = run.dram / BEAT_BYTES;
        const uint32_t local = uint32_t(run.local / BEAT_BYTES);
      store_beats:
        for (uint64_t i = 0; i < beats; i++) {
          // II=1: a beat is one element of one RAM, and a burst takes one a cycle.
#pragma HLS PIPELINE II=1
          frame[first + i] = read_act_beat(machine.act, local + uint32_t(i));
        }
        events.write_beats += beats;
      }
    }
  }
  return FAULT_NONE;
}

}  // namespace moesaic

#endif
