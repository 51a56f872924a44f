// The load unit: DRAM to activation, weight or table memory.
#ifndef MOESAIC_LOAD_HPP
#define MOESAIC_LOAD_HPP

#include "machine.hpp"
#include "transfer_loop.hpp"

namespace moesaic {

// A run into the memory that `destination` names. Each call names its window: synthesis cannot choose between pointers.
inline void load_run(const Beat *window, const Run &run, uint32_t destination, uint32_t beats, Machine &machine) {
#pragma HLS INLINE
  const uint64_t first = run.dram / BEAT_BYTES;
  const uint32_t local = uint32_t(run.local / BEAT_BYTES);
  if (destination == LOAD_TO_ACT) {
  load_act_beats:
    for (uint64_t i = 0; i < beats; i++) {
      // II=1: a burst gives one beat a cycle, and a beat is one element of one RAM.
#pragma HLS PIPELINE II=1
      write_act_beat(machine.act, local + uint32_t(i), window[first + i]);
    }
  } else if (destination == LOAD_TO_WEIGHT) {
  load_weight_beats:
    for (uint64_t i = 0; i < beats; i++) {
      // II=1: as above; a beat goes to the one memory or the other.
#pragma HLS PIPELINE II=1
      write_weight_beat(machine.weight, machine.act, local + uint32_t(i), window[first + i]);
    }
  } else {
  load_table_beats:
    for (uint64_t i = 0; i < beats; i++) {
      const Beat beat = window[first + i];
      write_table_beat(machine.table, (local + uint32_t(i)) * BEAT_BYTES, beat);
    }
  }
}

inline uint32_t load(const Load &f, const Beat *constants, uint32_t constant_size, const Beat *frame,
                     uint32_t frame_size, Machine &machine, Events &events) {
#pragma HLS INLINE
  if (f.skip_if_empty && machine.queue.count[f.queue] == 0) return FAULT_NONE;
  const uint64_t window_size = f.space == SPACE_CONSTANT ? constant_size : frame_size;
  const uint64_t size = f.destination == LOAD_TO_ACT      ? uint64_t(ACT_BYTES)
                        : f.destination == LOAD_TO_WEIGHT ? uint64_t(WEIGHT_WINDOW_BYTES)
                                                          : uint64_t(TABLE_BYTES);
load_3:
  for (uint32_t i3 = 0; i3 < f.count_3; i3++) {
  load_2:
    for (uint32_t i2 = 0; i2 < f.count_2; i2++) {
    load_1:
      for (uint32_t i1 = 0; i1 < f.count_1; i1++) {
        const Run run = transfer_run(f, i1, i2, i3);
        if (!inside(run.dram, f.bytes, window_size) || !inside(run.local, f.bytes, size)) return FAULT_ADDRESS;
        const uint32_t beats = f.bytes / BEAT_BYTES;
        if (f.space == SPACE_CONSTANT) {
          load_run(constants, run, f.destination, beats, machine);
        } else {
          load_run(frame, run, f.destination, beats, machine);
        }
        events.read_beats += beats;
      }
    }
  }
  return FAULT_NONE;
}

}  // namespace moesaic

#endif
