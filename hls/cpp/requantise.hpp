// One requantise lane of the drain.
#ifndef MOESAIC_REQUANTISE_HPP
#define MOESAIC_REQUANTISE_HPP

#include "arithmetic.hpp"

namespace moesaic {

constexpr int ACCUMULATOR_CLIP_BITS = 27;

// round_shift(clip27(accumulator) * multiplier, shift); multiplier 0..65,535, not saturated.
inline int64_t requantise(int64_t accumulator, uint32_t multiplier, uint32_t shift) {
  return round_shift(saturate(accumulator, ACCUMULATOR_CLIP_BITS) * int64_t(multiplier), shift);
}

}  // namespace moesaic

#endif
