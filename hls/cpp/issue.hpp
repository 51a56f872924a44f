// The instructions that wait for one unit.
#ifndef MOESAIC_ISSUE_HPP
#define MOESAIC_ISSUE_HPP

#include "configuration.hpp"
#include "isa.hpp"

namespace moesaic {

struct IssueQueue {
  uint32_t words[INSTRUCTION_QUEUE][INSTRUCTION_WORDS];
  uint32_t first;
  uint32_t count;
};

inline void clear(IssueQueue &queue) { queue.first = queue.count = 0; }

inline bool is_full(const IssueQueue &queue) { return queue.count == INSTRUCTION_QUEUE; }

inline void push(IssueQueue &queue, const uint32_t *words) {
  const uint32_t end = (queue.first + queue.count) % INSTRUCTION_QUEUE;
push_words:
  for (int i = 0; i < INSTRUCTION_WORDS; i++) {
#pragma HLS UNROLL
    queue.words[end][i] = words[i];
  }
  queue.count++;
}

// The oldest instruction, copied.
inline void read_front(const IssueQueue &queue, uint32_t *words) {
#pragma HLS INLINE
front_words:
  for (int i = 0; i < INSTRUCTION_WORDS; i++) {
#pragma HLS UNROLL
    words[i] = queue.words[queue.first][i];
  }
}

inline void pop(IssueQueue &queue) {
  queue.first = (queue.first + 1) % INSTRUCTION_QUEUE;
  queue.count--;
}

}  // namespace moesaic

#endif
