// The route unit: router softmax and top-k, see spec.arithmetic.route_token.
#ifndef MOESAIC_ROUTE_HPP
#define MOESAIC_ROUTE_HPP

#include "exp2.hpp"
#include "machine.hpp"
#include "reciprocal.hpp"

namespace moesaic {

// Number of experts that come before `expert`: a larger logit, or an equal one and a lower index.
inline uint32_t rank_of(const int16_t *logit, uint32_t columns, uint32_t expert) {
  uint32_t rank = 0;
rank_experts:
  for (uint32_t e = 0; e < columns; e++) {
#pragma HLS UNROLL
    rank += logit[e] > logit[expert] || (logit[e] == logit[expert] && e < expert);
  }
  return rank;
}

inline bool route_token(const Route &f, const ActMemory &act, uint64_t source, uint32_t token, ExpertQueue &queue) {
  int16_t logit[EXPERTS];
  uint32_t exponential[EXPERTS];
#pragma HLS ARRAY_PARTITION variable=logit complete
  int32_t maximum = -32768;
read_logits:
  for (uint32_t e = 0; e < f.columns; e++) {
    logit[e] = read_int16(act, source + 2 * e);
    if (logit[e] > maximum) maximum = logit[e];
  }
  uint32_t sum = 0;
exponentials:
  for (uint32_t e = 0; e < f.columns; e++) {
#pragma HLS PIPELINE II=1
    exponential[e] = exp2_q16(uint32_t(maximum - logit[e]));
    sum += exponential[e];
  }
  const Reciprocal scale = reciprocal(sum);
push_experts:
  for (uint32_t e = 0; e < f.columns; e++) {
#pragma HLS PIPELINE II=1
    if (rank_of(logit, f.columns, e) < f.top_k) {
      const int64_t score = round_shift(int64_t(exponential[e]) * scale.mantissa, scale.bits - 1);
      if (!push(queue, int(e), token, score < 65535 ? uint32_t(score) : 65535)) return false;
    }
  }
  return true;
}

inline uint32_t route(const Route &f, Machine &machine) {
  if (f.first + f.rows > QUEUE_TOKENS || f.columns < 1 || f.columns > EXPERTS) return FAULT_BAD_INSTRUCTION;
  if (!f.append) clear(machine.queue);
route_rows:
  for (uint32_t r = 0; r < f.rows; r++) {
    const uint64_t source = f.source_address + uint64_t(r) * f.source_pitch;
    if (!inside_act(source, 2 * f.columns)) return FAULT_ADDRESS;
    if (!route_token(f, machine.act, source, f.first + r, machine.queue)) return FAULT_ADDRESS;
  }
  return FAULT_NONE;
}

}  // namespace moesaic

#endif
