// Powers of two by table and shift.
#ifndef MOESAIC_EXP2_HPP
#define MOESAIC_EXP2_HPP

#include "arithmetic.hpp"
#include "isa.hpp"

namespace moesaic {

// 2**(-distance/256) in Q0.16 (0..65,536), distance in units of 1/256 octave.
inline uint32_t exp2_q16(uint32_t distance) {
#pragma HLS INLINE
#pragma HLS BIND_STORAGE variable=EXP2_TABLE type=rom_np impl=lutram
  const uint32_t octaves = (distance >> 8) < 18 ? distance >> 8 : 18;
  return ((EXP2_TABLE[distance & 0xff] * 2 >> octaves) + 1) >> 1;  // as round_shift, in 32 bits
}

}  // namespace moesaic

#endif
