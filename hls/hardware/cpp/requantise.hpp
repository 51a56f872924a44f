// One requantise lane of the drain.
#ifndef MOESAIC_REQUANTISE_HPP
#define MOESAIC_REQUANTISE_HPP

#include "arithmetic.hpp"

namespace moesaic {

constexpr int ACCUMULATOR_CLIP_BITS = 27;
constexpr int MULTIPLIER_BITS = 17;  // 16 and a sign: with 27 the two operands of a DSP48E2, 27 x 18

// round_shift(clip27(accumulator) * multiplier, shift); multiplier 0..65,535, not saturated.
inline int64_t requantise(int64_t accumulator, uint32_t multiplier, uint32_t shift) {
#pragma HLS INLINE
  const int64_t clipped = saturate(accumulator, ACCUMULATOR_CLIP_BITS);
  return round_shift(multiply<ACCUMULATOR_CLIP_BITS, MULTIPLIER_BITS>(clipped, multiplier), shift);
}

}  // namespace moesaic

#endif
