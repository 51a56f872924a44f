// One step of the array: TILE_ROWS x TILE_COLUMNS dot products of length TILE_DEPTH.
#ifndef MOESAIC_MATMUL_ARRAY_HPP
#define MOESAIC_MATMUL_ARRAY_HPP

#include "isa.hpp"
#include "packed_dot.hpp"

namespace moesaic {

struct Operand {
  int8_t row[TILE_ROWS][OPERAND_BYTES];
};

struct Accumulators {
  int32_t sum[TILE_ROWS][TILE_COLUMNS];
};

// word: one word of the weight memory, column-major: TILE_DEPTH values of column 0, then of column 1, ...
#ifdef MOESAIC_AP_TYPES
inline void array_step(const Operand &operand, int k, const int8_t *word, Accumulators &accumulators) {
#pragma HLS PIPELINE II=1
array_rows:
  for (int r = 0; r < TILE_ROWS; r++) {
#pragma HLS UNROLL
  array_column_pairs:
    for (int c = 0; c < TILE_COLUMNS; c += 2) {
#pragma HLS UNROLL
      const DotPair pair = packed_dot(&operand.row[r][k], word + c * TILE_DEPTH, word + (c + 1) * TILE_DEPTH);
      accumulators.sum[r][c] += pair.low;
      accumulators.sum[r][c + 1] += pair.high;
    }
  }
}
#else
// The same sums in an order that g++ turns into vector instructions.
inline void array_step(const Operand &operand, int k, const int8_t *word, Accumulators &accumulators) {
  int16_t transposed[TILE_DEPTH][TILE_COLUMNS];
  for (int c = 0; c < TILE_COLUMNS; c++) {
    for (int l = 0; l < TILE_DEPTH; l++) transposed[l][c] = word[c * TILE_DEPTH + l];
  }
  for (int r = 0; r < TILE_ROWS; r++) {
    for (int l = 0; l < TILE_DEPTH; l++) {
      const int32_t a = operand.row[r][k + l];
      for (int c = 0; c < TILE_COLUMNS; c++) accumulators.sum[r][c] += a * transposed[l][c];
    }
  }
}
#endif

}  // namespace moesaic

#endif
