// Layer norm of int16 rows to int8, see moesaic.spec.arithmetic.layer_norm.
#ifndef MOESAIC_LAYER_NORM_HPP
#define MOESAIC_LAYER_NORM_HPP

#include "isqrt.hpp"
#include "machine.hpp"
#include "padded_row.hpp"

namespace moesaic {

constexpr int NORM_FRACTION_BITS = 10;
// Cycles for a word: NORM_LANES elements a cycle, and at least 3 reads (element, gamma, beta) and a write of one memory.
constexpr int NORM_II = TILE_COLUMNS / NORM_LANES > 4 ? TILE_COLUMNS / NORM_LANES : 4;

inline void layer_norm_row(const LayerNorm &f, ActMemory &act, uint64_t source, uint64_t destination) {
#pragma HLS INLINE
  const uint32_t groups = column_groups(f.columns);
  const uint32_t source_word = uint32_t(source / ACT_WORD_BYTES);
  const uint32_t destination_half = uint32_t(destination / TILE_COLUMNS);
  const uint32_t parameter_word = f.param_address / ACT_WORD_BYTES;
  int64_t total = 0;
  int64_t squares = 0;
norm_statistics:
  for (uint32_t g = 0; g < groups; g++) {
    // II=NORM_II: one word is read, its squares share NORM_LANES multipliers; the sums are carried by one adder each.
#pragma HLS PIPELINE II=NORM_II
    const ActWord word = read_act_word(act, source_word + g);
#pragma HLS ARRAY_PARTITION variable=word.byte type=complete
    int64_t word_total = 0;
    int64_t word_squares = 0;
  statistics_lanes:
    for (int c = 0; c < TILE_COLUMNS; c++) {
#pragma HLS UNROLL
      const int64_t x = g * TILE_COLUMNS + uint32_t(c) < f.columns ? int16_of(word, c) : 0;
      word_total += x;
      word_squares += multiply<16, 16>(x, x);
    }
    total += word_total;
    squares += word_squares;
  }
  const int64_t width = f.columns;
  const int64_t scaled_variance = multiply<12, 42>(width, squares) - multiply<27, 27>(total, total);
  const ReciprocalSquareRoot scale = reciprocal_square_root(uint64_t(scaled_variance));
  Beat last = Beat();
norm_columns:
  for (uint32_t g = 0; g < groups; g++) {
    // II=NORM_II: 3 words are read and half a word is written, none of it twice, and the lanes share NORM_LANES multipliers of
    // each kind. No row reads what it has written: a result takes half of its elements' place, at or before them.
#pragma HLS PIPELINE II=NORM_II
#pragma HLS DEPENDENCE variable=act.block type=inter dependent=false
#pragma HLS DEPENDENCE variable=act.ultra type=inter dependent=false
    const ActWord word = read_act_word(act, source_word + g);
#pragma HLS ARRAY_PARTITION variable=word.byte type=complete
    const ActWord gamma = read_act_word(act, parameter_word + 2 * g);
#pragma HLS ARRAY_PARTITION variable=gamma.byte type=complete
    const ActWord beta = read_act_word(act, parameter_word + 2 * g + 1);
#pragma HLS ARRAY_PARTITION variable=beta.byte type=complete
    uint8_t result[TILE_COLUMNS];
#pragma HLS ARRAY_PARTITION variable=result type=complete
  norm_lanes:
    for (int c = 0; c < TILE_COLUMNS; c++) {
#pragma HLS UNROLL
      const int64_t centred = multiply<12, 16>(width, int16_of(word, c)) - total;
      const int64_t y = saturate(round_shift(multiply<29, 17>(centred, scale.mantissa), scale.shift), 16);
      const int64_t scaled = multiply<16, 16>(y, int16_of(gamma, c));
      const int64_t offset = int64_t(int16_of(beta, c)) * (1 << NORM_FRACTION_BITS);
      const bool valid = g * TILE_COLUMNS + uint32_t(c) < f.columns;
      result[c] = valid ? uint8_t(saturate(round_shift(scaled + offset, f.shift), 8) & 0xff) : uint8_t(0);
    }
    write_act_half(act, destination_half + g, result, g == 0, last);
  }
}

inline uint32_t layer_norm(const LayerNorm &f, Machine &machine) {
#pragma HLS INLINE
  const uint32_t padded = padded_columns(f.columns);
  if (!inside_act(f.param_address, uint64_t(padded) * 4)) return FAULT_ADDRESS;
norm_rows:
  for (uint32_t r = 0; r < f.rows; r++) {
    const uint64_t source = f.source_address + uint64_t(r) * f.source_pitch;
    const uint64_t destination = f.destination_address + uint64_t(r) * f.destination_pitch;
    if (!inside_act(source, 2 * f.columns) || !inside_act(destination, padded)) return FAULT_ADDRESS;
    layer_norm_row(f, machine.act, source, destination);
  }
  return FAULT_NONE;
}

}  // namespace moesaic

#endif
