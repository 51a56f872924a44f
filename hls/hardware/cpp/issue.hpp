// The instructions that wait for each unit.
#ifndef MOESAIC_ISSUE_HPP
#define MOESAIC_ISSUE_HPP

#include "configuration.hpp"
#include "isa.hpp"

namespace moesaic {

struct IssueQueues {
  uint32_t words[UNITS][INSTRUCTION_QUEUE][INSTRUCTION_WORDS];
  uint32_t first[UNITS];
  uint32_t count[UNITS];
};

inline void clear(IssueQueues &queues) {
clear_queues:
  for (int unit = 0; unit < UNITS; unit++) {
#pragma HLS UNROLL
    queues.first[unit] = 0;
    queues.count[unit] = 0;
  }
}

inline bool is_full(const IssueQueues &queues, uint32_t unit) { return queues.count[unit] == INSTRUCTION_QUEUE; }

inline bool is_empty(const IssueQueues &queues, uint32_t unit) { return queues.count[unit] == 0; }

inline void push_instruction(IssueQueues &queues, uint32_t unit, const uint32_t *words) {
#pragma HLS INLINE
  const uint32_t end = (queues.first[unit] + queues.count[unit]) % INSTRUCTION_QUEUE;
push_words:
  for (int i = 0; i < INSTRUCTION_WORDS; i++) {
#pragma HLS UNROLL
    queues.words[unit][end][i] = words[i];
  }
  queues.count[unit]++;
}

// The oldest instruction, copied.
inline void read_front(const IssueQueues &queues, uint32_t unit, uint32_t *words) {
#pragma HLS INLINE
front_words:
  for (int i = 0; i < INSTRUCTION_WORDS; i++) {
#pragma HLS UNROLL
    words[i] = queues.words[unit][queues.first[unit]][i];
  }
}

inline void pop(IssueQueues &queues, uint32_t unit) {
  queues.first[unit] = (queues.first[unit] + 1) % INSTRUCTION_QUEUE;
  queues.count[unit]--;
}

}  // namespace moesaic

#endif
