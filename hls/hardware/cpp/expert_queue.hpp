// Per expert, the tokens routed to it and their scores.
#ifndef MOESAIC_EXPERT_QUEUE_HPP
#define MOESAIC_EXPERT_QUEUE_HPP

#include "configuration.hpp"
#include "dram.hpp"

namespace moesaic {

struct ExpertQueue {
  uint32_t count[EXPERTS];
  uint16_t token[EXPERTS][QUEUE_TOKENS];
  uint16_t score[EXPERTS][QUEUE_TOKENS];
};

inline void clear(ExpertQueue &queue) {
clear_experts:
  for (int e = 0; e < EXPERTS; e++) {
#pragma HLS UNROLL
    queue.count[e] = 0;
  }
}

// False if the queue is full.
inline bool push(ExpertQueue &queue, int expert, uint32_t token, uint32_t score) {
  const uint32_t end = queue.count[expert];
  if (end == QUEUE_TOKENS) return false;
  queue.token[expert][end] = uint16_t(token);
  queue.score[expert][end] = uint16_t(score);
  queue.count[expert] = end + 1;
  return true;
}

}  // namespace moesaic

#endif
