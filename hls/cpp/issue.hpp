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

inline const uint32_t *front(const IssueQueue &queue) { return queue.words[queue.first]; }

inline void pop(IssueQueue &queue) {
  queue.first = (queue.first + 1) % INSTRUCTION_QUEUE;
  queue.count--;
}

}  // namespace moesaic

#endif
