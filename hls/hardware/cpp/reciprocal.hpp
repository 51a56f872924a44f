// Reciprocals as 16-bit multiplier and shift.
#ifndef MOESAIC_RECIPROCAL_HPP
#define MOESAIC_RECIPROCAL_HPP

#include "arithmetic.hpp"

namespace moesaic {

// 1/value ~ mantissa / 2**(15 + bits); both 0 for 0.
struct Reciprocal {
  uint32_t mantissa;
  uint32_t bits;
};

inline Reciprocal reciprocal(uint32_t value) {
  Reciprocal result = {0, 0};
  if (value != 0) {
    result.bits = uint32_t(bit_length(value));
    const uint64_t quotient = (uint64_t(1) << (15 + result.bits)) / value;
    result.mantissa = quotient < 65535 ? uint32_t(quotient) : 65535;
  }
  return result;
}

}  // namespace moesaic

#endif
