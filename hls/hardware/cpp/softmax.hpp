// Single-pass softmax: one sweep over the scores, whose maximum matmul has tracked; the sum divides P.V later.
#ifndef MOESAIC_SOFTMAX_HPP
#define MOESAIC_SOFTMAX_HPP

#include "exp2.hpp"
#include "machine.hpp"
#include "padded_row.hpp"
#include "reciprocal.hpp"

namespace moesaic {

constexpr uint32_t PROBABILITY_MAX = 127;

// Added before the fraction of a probability is dropped, 16 bits: (39 times the column modulo 64 + 1/2) / 64. Ordered dithering by
// multiples of the golden ratio, which keeps the sum of many small probabilities.
constexpr uint32_t probability_rounding(uint32_t column) { return ((column * 39 & 63) << 10) | (1u << 9); }

// Cycles for a word: one read and one write; half a beat is read before it is written where TILE_COLUMNS is 8.
constexpr int SOFTMAX_II = TILE_COLUMNS < int(BEAT_BYTES) ? 2 : 1;

// Writes the probabilities 0..127 of one row and returns their sum.
inline uint32_t softmax_row(ActMemory &act, uint64_t source, uint64_t destination, uint32_t columns, int32_t maximum) {
#pragma HLS INLINE
  const uint32_t source_word = uint32_t(source / ACT_WORD_BYTES);
  const uint32_t destination_half = uint32_t(destination / TILE_COLUMNS);
  uint32_t sum = 0;
  Beat last = Beat();
softmax_words:
  for (uint32_t g = 0; g < column_groups(columns); g++) {
    // II=SOFTMAX_II: one word is read and half a word is written, each lane has its own table of exponentials, and the sum is
    // carried by one adder. No row reads what it has written: a probability takes half of its score's place, at or before it.
#pragma HLS PIPELINE II=SOFTMAX_II
#pragma HLS DEPENDENCE variable=act.block type=inter dependent=false
#pragma HLS DEPENDENCE variable=act.ultra type=inter dependent=false
    const ActWord word = read_act_word(act, source_word + g);
#pragma HLS ARRAY_PARTITION variable=word.byte type=complete
    uint8_t result[TILE_COLUMNS];
#pragma HLS ARRAY_PARTITION variable=result type=complete
    uint32_t word_sum = 0;
  softmax_lanes:
    for (int c = 0; c < TILE_COLUMNS; c++) {
#pragma HLS UNROLL
      const int32_t distance = maximum - int16_of(word, c);
      const uint32_t exponential = exp2_q16(distance > 0 ? uint32_t(distance) : 0);
      const uint32_t column = g * TILE_COLUMNS + uint32_t(c);
      const bool valid = column < columns;
      const uint32_t probability = (exponential * PROBABILITY_MAX + probability_rounding(column)) >> 16;
      result[c] = valid ? uint8_t(probability) : uint8_t(0);
      word_sum += result[c];
    }
    write_act_half(act, destination_half + g, result, g == 0, last);
    sum += word_sum;
  }
  return sum;
}

inline uint32_t softmax(const Softmax &f, Machine &machine) {
#pragma HLS INLINE
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
