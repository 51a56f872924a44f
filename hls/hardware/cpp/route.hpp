// The route unit: router softmax and top-k, see moesaic.spec.arithmetic.route_token.
#ifndef MOESAIC_ROUTE_HPP
#define MOESAIC_ROUTE_HPP

#include "exp2.hpp"
#include "machine.hpp"
#include "padded_row.hpp"
#include "reciprocal.hpp"

namespace moesaic {

// Whether tokens can choose `expert`: the router has it, and it is not absent.
inline bool is_present(const Route &f, uint32_t expert) {
#pragma HLS INLINE
  return expert < f.columns && ((expert < 32 ? f.absent_low : f.absent_high) >> expert % 32 & 1U) == 0;
}

// Number of experts that come before `expert`: a larger logit, or an equal one and a lower index.
inline uint32_t rank_of(const Route &f, const int16_t *logit, uint32_t expert) {
#pragma HLS INLINE
  uint32_t rank = 0;
rank_experts:
  for (uint32_t e = 0; e < EXPERTS; e++) {
#pragma HLS UNROLL
    const bool before = logit[e] > logit[expert] || (logit[e] == logit[expert] && e < expert);
    rank += is_present(f, e) && before;
  }
  return rank;
}

// Logits of one token, as many registers as experts; returns the maximum of those that are present.
inline int32_t read_logits(const Route &f, const ActMemory &act, uint64_t source, int16_t *logit) {
#pragma HLS INLINE
  int32_t maximum = -32768;
logit_words:
  for (uint32_t g = 0; g < column_groups(f.columns); g++) {
    // II=1: one word is read, the logits are registers, and the maximum is carried by a tree of compares.
#pragma HLS PIPELINE II=1
    const ActWord word = read_act_word(act, uint32_t(source / ACT_WORD_BYTES) + g);
#pragma HLS ARRAY_PARTITION variable=word.byte type=complete
  logit_lanes:
    for (int c = 0; c < TILE_COLUMNS; c++) {
#pragma HLS UNROLL
      const uint32_t e = g * TILE_COLUMNS + uint32_t(c);
      if (is_present(f, e)) {
        logit[e] = int16_of(word, c);
        if (logit[e] > maximum) maximum = logit[e];
      }
    }
  }
  return maximum;
}

inline void route_token(const Route &f, const ActMemory &act, uint64_t source, uint32_t token, ExpertQueue &queue) {
#pragma HLS INLINE
  int16_t logit[EXPERTS] = {};
  uint32_t exponential[EXPERTS] = {};
#pragma HLS ARRAY_PARTITION variable=logit type=complete
#pragma HLS ARRAY_PARTITION variable=exponential type=complete
  const int32_t maximum = read_logits(f, act, source, logit);
  uint32_t sum = 0;
exponentials:
  for (uint32_t e = 0; e < f.columns; e++) {
    // II=1: a look-up an expert; the sum is carried by one adder.
#pragma HLS PIPELINE II=1
    exponential[e] = is_present(f, e) ? exp2_q16(uint32_t(maximum - logit[e])) : 0;
    sum += exponential[e];
  }
  const Reciprocal scale = reciprocal(sum);
push_experts:
  for (uint32_t e = 0; e < f.columns; e++) {
    // II=1: every expert has a queue and a count of its own, so an iteration touches nothing that the one before it did.
#pragma HLS PIPELINE II=1
#pragma HLS DEPENDENCE variable=queue.token type=inter dependent=false
#pragma HLS DEPENDENCE variable=queue.score type=inter dependent=false
    if (is_present(f, e) && rank_of(f, logit, e) < f.top_k) {
      const int64_t score = round_shift(multiply<18, 17>(exponential[e], scale.mantissa), scale.bits - 1);
      push(queue, int(e), token, score < 65535 ? uint32_t(score) : 65535);
    }
  }
}

inline uint32_t route(const Route &f, Machine &machine) {
#pragma HLS INLINE
  if (f.append && f.first < machine.queue.next_token) return FAULT_ADDRESS;
  if (!f.append) clear(machine.queue);
  machine.queue.next_token = f.first + f.rows;
route_rows:
  for (uint32_t r = 0; r < f.rows; r++) {
    const uint64_t source = f.source_address + uint64_t(r) * f.source_pitch;
    if (!inside_act(source, 2 * f.columns)) return FAULT_ADDRESS;
    route_token(f, machine.act, source, f.first + r, machine.queue);
  }
  return FAULT_NONE;
}

}  // namespace moesaic

#endif
