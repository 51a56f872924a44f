// The load unit: DRAM to activation, weight or table memory.
#ifndef MOESAIC_LOAD_HPP
#define MOESAIC_LOAD_HPP

#include "machine.hpp"
#include "transfer_loop.hpp"

namespace moesaic {

// The int8 of one half of a beat's bytes, 4 bits each. half: 0 for the first eight bytes, 1 for the others.
inline Beat unpack_int4(const Beat &beat, int half) {
#pragma HLS INLINE
  Beat unpacked;
unpack_int4_bytes:
  for (int i = 0; i < int(BEAT_BYTES) / 2; i++) {
#pragma HLS UNROLL
    const uint32_t byte = beat_byte(beat, half * int(BEAT_BYTES) / 2 + i);
    set_beat_byte(unpacked, 2 * i, uint8_t(((byte & 15U) ^ 8U) - 8U));
    set_beat_byte(unpacked, 2 * i + 1, uint8_t(((byte >> 4) ^ 8U) - 8U));
  }
  return unpacked;
}

// A run into the memory that the instruction names. Each call names its window: synthesis cannot choose between pointers.
inline void load_run(const Beat *window, const Run &run, const Load &f, uint32_t beats, Machine &machine) {
#pragma HLS INLINE
  const uint64_t first = run.dram / BEAT_BYTES;
  const uint32_t local = uint32_t(run.local / BEAT_BYTES);
  if (f.destination == LOAD_TO_ACT) {
  load_act_beats:
    for (uint64_t i = 0; i < beats; i++) {
      // II=1: a burst gives one beat a cycle, and a beat is one element of one RAM.
#pragma HLS PIPELINE II=1
      write_act_beat(machine.act, local + uint32_t(i), window[first + i]);
    }
  } else if (f.unpack) {
  load_unpacked_beats:
    for (uint64_t i = 0; i < beats; i++) {
      // II=2: a beat becomes two, which go into the same memory.
#pragma HLS PIPELINE II=2
      const Beat beat = window[first + i];
      write_weight_beat(machine.weight, machine.act, local + uint32_t(2 * i), unpack_int4(beat, 0));
      write_weight_beat(machine.weight, machine.act, local + uint32_t(2 * i) + 1, unpack_int4(beat, 1));
    }
  } else if (f.destination == LOAD_TO_WEIGHT) {
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
        const uint64_t local_bytes = uint64_t(f.bytes) << f.unpack;
        if (!inside(run.dram, f.bytes, window_size) || !inside(run.local, local_bytes, size)) return FAULT_ADDRESS;
        const uint32_t beats = f.bytes / BEAT_BYTES;
        if (f.space == SPACE_CONSTANT) {
          load_run(constants, run, f, beats, machine);
        } else {
          load_run(frame, run, f, beats, machine);
        }
        events.read_beats += beats;
      }
    }
  }
  return FAULT_NONE;
}

}  // namespace moesaic

#endif
