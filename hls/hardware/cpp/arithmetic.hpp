// Rounding, saturation and tables of spec/arithmetic.py, bit for bit. Right shifts of negative values are arithmetic.
#ifndef MOESAIC_ARITHMETIC_HPP
#define MOESAIC_ARITHMETIC_HPP

#include <cstdint>

#include "dram.hpp"

namespace moesaic {

// The product of two integers of so many bits, sign included: synthesis makes a multiplier of that size, not of 64 x 64.
template <int LeftBits, int RightBits>
inline int64_t multiply(int64_t left, int64_t right) {
#pragma HLS INLINE
#ifdef MOESAIC_AP_TYPES
  const ap_int<LeftBits> narrow_left = left;
  const ap_int<RightBits> narrow_right = right;
  const ap_int<LeftBits + RightBits> product = narrow_left * narrow_right;
  return product.to_int64();
#else
  return left * right;
#endif
}

// Clip to the range of a signed integer of `bits` bits.
template <typename Integer>
inline Integer saturate(Integer value, int bits) {
#pragma HLS INLINE
  const Integer top = Integer((Integer(1) << (bits - 1)) - 1);
  const Integer bottom = Integer(-top - 1);
  return value > top ? top : value < bottom ? bottom : value;
}

// value / 2**shift to nearest, halves towards plus infinity; value of at most 63 bits. Only the low six bits of shift count, as in
// hardware. One bit is kept below the result and rounds it: one shifter, where half of 2**shift would take a second.
inline int64_t round_shift(int64_t value, uint32_t shift) {
#pragma HLS INLINE
  return ((value * 2 >> (shift & 63)) + 1) >> 1;
}

// Number of bits of value; 0 for 0.
inline int bit_length(uint64_t value) {
  int bits = 0;
bit_length_steps:
  for (int step = 32; step > 0; step >>= 1) {
#pragma HLS UNROLL
    if (value >> step) {
      bits += step;
      value >>= step;
    }
  }
  return bits + (value ? 1 : 0);
}

}  // namespace moesaic

#endif
