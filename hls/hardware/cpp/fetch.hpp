// Reads the program and hands each instruction to the queue of its unit.
#ifndef MOESAIC_FETCH_HPP
#define MOESAIC_FETCH_HPP

#include "dram.hpp"
#include "issue.hpp"
#include "legality.hpp"
#include "machine.hpp"

namespace moesaic {

struct Fetch {
  uint64_t position;
  uint64_t end;
  bool holding;  // words hold an instruction that found its queue full
  bool ended;
  uint32_t words[INSTRUCTION_WORDS];
};

// Only its producer signals a semaphore, and only its consumer waits for it.
inline bool has_own_semaphores(const Header &header, uint32_t unit) {
  uint32_t may_wait = 0;
own_semaphores:
  for (int producer = 0; producer < UNITS; producer++) {
#pragma HLS UNROLL
    may_wait |= 1U << (uint32_t(producer * UNITS) + unit);
  }
  const uint32_t may_signal = ((1U << UNITS) - 1) << (unit * UNITS);
  return (header.wait_mask & ~may_wait) == 0 && (header.signal_mask & ~may_signal) == 0;
}

inline void read_instruction(const Beat *constants, uint64_t position, uint32_t *words) {
#pragma HLS INLINE
  const uint64_t first = position / BEAT_BYTES;
instruction_beats:
  for (uint64_t i = 0; i < INSTRUCTION_BYTES / BEAT_BYTES; i++) {
    // II=1: a burst gives one beat a cycle, and the words of an instruction are registers.
#pragma HLS PIPELINE II=1
    const Beat beat = constants[first + i];
  instruction_words:
    for (uint32_t w = 0; w < BEAT_BYTES / 4; w++) {
#pragma HLS UNROLL
      const int b = int(4 * w);
      words[i * (BEAT_BYTES / 4) + w] = uint32_t(beat_byte(beat, b)) | uint32_t(beat_byte(beat, b + 1)) << 8 |
                                        uint32_t(beat_byte(beat, b + 2)) << 16 | uint32_t(beat_byte(beat, b + 3)) << 24;
    }
  }
}

// Dispatches until a queue is full or the program has ended.
inline uint32_t fetch(Fetch &state, const Beat *constants, IssueQueues &queues, Events &events) {
#pragma HLS INLINE
dispatch:
  while (!state.ended) {
    if (!state.holding) {
      if (state.position + INSTRUCTION_BYTES > state.end) return FAULT_ADDRESS;
      read_instruction(constants, state.position, state.words);
      events.read_beats += INSTRUCTION_BYTES / BEAT_BYTES;
      state.position += INSTRUCTION_BYTES;
    }
    const Header header = decode_header(state.words);
    if (header.opcode == OPCODE_END) {
      state.ended = true;
      return FAULT_NONE;
    }
    const uint32_t unit = unit_of(header.opcode);
    if (!is_legal(state.words) || !has_own_semaphores(header, unit)) return FAULT_BAD_INSTRUCTION;
    state.holding = is_full(queues, unit);
    if (state.holding) return FAULT_NONE;
    push_instruction(queues, unit, state.words);
  }
  return FAULT_NONE;
}

}  // namespace moesaic

#endif
