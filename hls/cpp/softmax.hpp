// Single-pass softmax: one sweep over the scores, whose maximum matmul has tracked; the sum divides P.V later.
#ifndef MOESAIC_SOFTMAX_HPP
#define MOESAIC_SOFTMAX_HPP

#include "exp2.hpp"
#include "machine.hpp"
#include "padded_row.hpp"
#include "reciprocal.hpp"

namespace moesaic {

constexpr uint32_t PROBABILITY_MAX = 127;

// Writes the probabilities 0..127 of one row and returns their sum.
inline uint32_t softmax_row(ActMemory &act, uint64_t source, uint64_t destination, uint32_t columns, int32_t maximum) {
  uint32_t sum = 0;
softmax_columns:
  for (uint32_t n = 0; n < columns; n++) {
#pragma HLS PIPELINE II=1
#pragma HLS UNROLL factor=TILE_COLUMNS
    const int32_t distance = maximum - read_int16(act, source + 2 * n);
    const uint32_t exponential = exp2_q16(distance > 0 ? uint32_t(distance) : 0);
    const uint32_t probability = uint32_t(round_shift(int64_t(exponential * PROBABILITY_MAX), 16));
    act.byte[destination + n] = uint8_t(probability);
    sum += probability;
  }
  pad_row(act, destination, columns);
  return sum;
}

inline uint32_t softmax(const Softmax &f, Machine &machine) {
  if (f.columns == 0) return FAULT_BAD_INSTRUCTION;
  if (!inside_rows(f.row_base, f.rows)) return FAULT_ADDRESS;
softmax_rows:
  for (uint32_t r = 0; r < f.rows; r++) {
    const uint32_t entry = f.row_base + r;
    const uint64_t source = f.source_address + uint64_t(r) * f.source_pitch;
    const uint64_t destination = f.destination_address + uint64_t(r) * f.destination_pitch;
    if (!inside_act(source, 2 * uint64_t(f.columns))) return FAULT_ADDRESS;
    if (!inside_act(destination, padded_columns(f.columns))) return FAULT_ADDRESS;
    const Reciprocal scale =
        reciprocal(softmax_row(machine.act, source, destination, f.columns, machine.rows.maximum[entry]));
    machine.rows.multiplier[entry] = uint16_t(scale.mantissa);
    machine.rows.shift[entry] = uint8_t(15 + scale.bits);
  }
  return FAULT_NONE;
}

}  // namespace moesaic

#endif
