// The load unit: DRAM to activation, weight or table memory.
#ifndef MOESAIC_LOAD_HPP
#define MOESAIC_LOAD_HPP

#include "machine.hpp"
#include "transfer_loop.hpp"

namespace moesaic {

// Beats from DRAM into a memory that is an array of bytes.
template <typename Byte>
void read_run(const ReadWindow &window, uint64_t dram, Byte *memory, uint64_t local, uint32_t beats) {
read_beats:
  for (uint32_t i = 0; i < beats; i++) {
#pragma HLS PIPELINE II=1
    const Beat beat = window.data[dram / BEAT_BYTES + i];
  read_bytes:
    for (uint32_t b = 0; b < BEAT_BYTES; b++) {
#pragma HLS UNROLL
      memory[local + i * BEAT_BYTES + b] = Byte(beat_byte(beat, int(b)));
    }
  }
}

// A run into the memory that `destination` names. Each call names its window: synthesis cannot choose between pointers.
inline void load_run(const ReadWindow &window, const Run &run, uint32_t destination, uint32_t beats,
                     Machine &machine) {
  if (destination == LOAD_TO_ACT) {
    read_run(window, run.dram, machine.act.byte, run.local, beats);
  } else if (destination == LOAD_TO_WEIGHT) {
    const uint64_t local = WEIGHT_BYTES > run.local ? WEIGHT_BYTES - run.local : 0;
    const uint32_t below = local / BEAT_BYTES < beats ? uint32_t(local / BEAT_BYTES) : beats;
    read_run(window, run.dram, machine.weight.byte, run.local, below);
    if (below < beats) {
      read_run(window, run.dram + uint64_t(below) * BEAT_BYTES, machine.act.byte,
               run.local + uint64_t(below) * BEAT_BYTES - WEIGHT_BYTES, beats - below);
    }
  } else {
    read_run(window, run.dram, machine.table.byte, run.local, beats);
  }
}

inline uint32_t load(const Load &f, const ReadWindow &constants, const ReadWindow &frame, Machine &machine,
                     Events &events) {
  if (f.destination > LOAD_TO_TABLE) return FAULT_BAD_INSTRUCTION;
  if (f.skip_if_empty) {
    if (f.queue >= EXPERTS) return FAULT_BAD_INSTRUCTION;
    if (machine.queue.count[f.queue] == 0) return FAULT_NONE;
  }
  const uint64_t window_size = f.space == SPACE_CONSTANT ? constants.size : frame.size;
  const uint64_t size = f.destination == LOAD_TO_ACT      ? uint64_t(ACT_BYTES)
                        : f.destination == LOAD_TO_WEIGHT ? uint64_t(WEIGHT_WINDOW_BYTES)
                                                          : uint64_t(TABLES * TABLE_ENTRIES);
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
