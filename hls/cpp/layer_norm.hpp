// Layer norm of int16 rows to int8, see spec.arithmetic.layer_norm.
#ifndef MOESAIC_LAYER_NORM_HPP
#define MOESAIC_LAYER_NORM_HPP

#include "isqrt.hpp"
#include "machine.hpp"
#include "padded_row.hpp"

namespace moesaic {

constexpr uint32_t NORM_WIDTH_MAX = 1024;
constexpr int NORM_FRACTION_BITS = 10;

inline void layer_norm_row(const LayerNorm &f, ActMemory &act, uint64_t source, uint64_t destination) {
  const int64_t width = f.columns;
  int64_t total = 0;
  int64_t squares = 0;
norm_statistics:
  for (uint32_t n = 0; n < f.columns; n++) {
#pragma HLS PIPELINE II=1
#pragma HLS UNROLL factor=NORM_LANES
    const int64_t x = read_int16(act, source + 2 * n);
    total += x;
    squares += x * x;
  }
  const ReciprocalSquareRoot scale = reciprocal_square_root(uint64_t(width * squares - total * total));
norm_columns:
  for (uint32_t n = 0; n < f.columns; n++) {
#pragma HLS PIPELINE II=1
#pragma HLS UNROLL factor=NORM_LANES
    const uint64_t group = f.param_address + uint64_t(n / TILE_COLUMNS) * 2 * ACT_WORD_BYTES;
    const int64_t gamma = read_int16(act, group + 2 * (n % TILE_COLUMNS));
    const int64_t beta = read_int16(act, group + ACT_WORD_BYTES + 2 * (n % TILE_COLUMNS));
    const int64_t centred = width * read_int16(act, source + 2 * n) - total;
    const int64_t y = saturate(round_shift(centred * int64_t(scale.mantissa), scale.shift), 16);
    const int64_t result = round_shift(y * gamma + beta * (1 << NORM_FRACTION_BITS), f.shift);
    act.byte[destination + n] = uint8_t(saturate(result, 8));
  }
  pad_row(act, destination, f.columns);
}

inline uint32_t layer_norm(const LayerNorm &f, Machine &machine) {
  if (f.columns < 1 || f.columns > NORM_WIDTH_MAX) return FAULT_BAD_INSTRUCTION;
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
