// Integer square root and the reciprocal square root built on it.
#ifndef MOESAIC_ISQRT_HPP
#define MOESAIC_ISQRT_HPP

#include "arithmetic.hpp"

namespace moesaic {

// Floor of the square root, one bit of the root per step.
inline uint32_t isqrt(uint32_t value) {
  uint32_t root = 0;
isqrt_bits:
  for (int bit = 15; bit >= 0; bit--) {
    const uint32_t trial = root | (uint32_t(1) << bit);
    if (trial * trial <= value) root = trial;
  }
  return root;
}

// 1024 / sqrt(variance) ~ mantissa / 2**shift, variance < 2**52; see moesaic.spec.arithmetic.reciprocal_square_root.
struct ReciprocalSquareRoot {
  uint32_t mantissa;
  uint32_t shift;
};

inline ReciprocalSquareRoot reciprocal_square_root(uint64_t variance) {
  ReciprocalSquareRoot result = {0, 6};
  if (variance != 0) {
    const int k = (bit_length(variance) - 31) >> 1;
    const uint32_t scaled = uint32_t(k >= 0 ? variance >> (2 * k) : variance << (-2 * k));
    const uint32_t mantissa = (uint32_t(1) << 31) / isqrt(scaled);
    result.mantissa = mantissa < 65535 ? mantissa : 65535;
    result.shift = uint32_t(21 + k);
  }
  return result;
}

}  // namespace moesaic

#endif
