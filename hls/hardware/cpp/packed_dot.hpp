// Two int8 dot products on one cascade of 27x18 multipliers.
#ifndef MOESAIC_PACKED_DOT_HPP
#define MOESAIC_PACKED_DOT_HPP

#include "configuration.hpp"
#include "dram.hpp"

namespace moesaic {

#ifdef MOESAIC_AP_TYPES
typedef ap_int<27> PackedWeights;
typedef ap_int<48> PackedSum;
typedef ap_int<8> PackedFactor;
#else
typedef int64_t PackedWeights;
typedef int64_t PackedSum;
typedef int32_t PackedFactor;
#endif

struct DotPair {
  int32_t low;
  int32_t high;
};

constexpr int PACKED_FIELD_BITS = 18;

// sum of a[k] * low[k] and of a[k] * high[k], k < TILE_DEPTH <= 8, each factor -128..127 (weights as bytes).
// The low sum lies in [-8 * 16,256, 8 * 16,384] = [-130,048, 131,072]: fewer than 2**18 values, so its low 18 bits tell
// it exactly, although 131,072 itself is no signed 18-bit number. The sum is taken from the whole before the shift, so the
// high sum needs no correction.
inline DotPair packed_dot(const int8_t *a, const uint8_t *low, const uint8_t *high) {
#pragma HLS INLINE
  // Balancing, on by default for integers, would make a tree of the chain: adders in logic instead of the cascade within the DSPs.
#pragma HLS EXPRESSION_BALANCE off
  PackedSum sum = 0;
dot_cascade:
  for (int k = 0; k < TILE_DEPTH; k++) {
#pragma HLS UNROLL
    const PackedWeights packed = PackedWeights(int64_t(int8_t(high[k])) * (1 << PACKED_FIELD_BITS) + int8_t(low[k]));
    sum += packed * PackedFactor(a[k]);
  }
  const int64_t whole = int64_t(sum);
  const int32_t residue = int32_t(whole & ((1 << PACKED_FIELD_BITS) - 1));
  DotPair pair;
  pair.low = residue <= 1 << (PACKED_FIELD_BITS - 1) ? residue : residue - (1 << PACKED_FIELD_BITS);
  pair.high = int32_t((whole - pair.low) >> PACKED_FIELD_BITS);
  return pair;
}

}  // namespace moesaic

#endif
