// Per expert, the tokens routed to it and their scores.
//
// next_token is above the token of every entry: route refuses tokens below it, so that a queue has a token at most once, and as tokens
// are below QUEUE_TOKENS, none is ever full when a token comes.
#ifndef MOESAIC_EXPERT_QUEUE_HPP
#define MOESAIC_EXPERT_QUEUE_HPP

#include "configuration.hpp"
#include "dram.hpp"

namespace moesaic {

struct ExpertQueue {
  uint32_t next_token;
  uint32_t count[EXPERTS];
  uint16_t token[EXPERTS][QUEUE_TOKENS];
  uint16_t score[EXPERTS][QUEUE_TOKENS];
};

inline void clear(ExpertQueue &queue) {
  queue.next_token = 0;
clear_experts:
  for (int e = 0; e < EXPERTS; e++) {
#pragma HLS UNROLL
    queue.count[e] = 0;
  }
}

inline void push(ExpertQueue &queue, int expert, uint32_t token, uint32_t score) {
  const uint32_t end = queue.count[expert];
  queue.token[expert][end] = uint16_t(token);
  queue.score[expert][end] = uint16_t(score);
  queue.count[expert] = end + 1;
}

}  // namespace moesaic

#endif
