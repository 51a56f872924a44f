// One step of the array, TILE_ROWS x TILE_COLUMNS dot products of length TILE_DEPTH, as synthesis sees it.
#ifndef MOESAIC_MATMUL_ARRAY_HPP
#define MOESAIC_MATMUL_ARRAY_HPP

#include "isa.hpp"
#include "packed_dot.hpp"
#include "weight_memory.hpp"

namespace moesaic {

constexpr int OPERAND_WORDS = OPERAND_BYTES / ACT_WORD_BYTES;
constexpr int OPERAND_PARTS = ACT_WORD_BYTES / TILE_DEPTH;

// The rows of a tile, in words of the activation memory: a fetch writes a word, a step reads one part of it, TILE_DEPTH bytes.
struct Operand {
  int8_t row[TILE_ROWS][OPERAND_WORDS][OPERAND_PARTS][TILE_DEPTH];
#ifdef MOESAIC_AP_TYPES
#else
  int32_t offset[TILE_ROWS];  // see native_array.hpp
#endif
};

struct Accumulators {
  int32_t sum[TILE_ROWS][TILE_COLUMNS];
};

// part: counted from the beginning of the operand rows. word: column-major, TILE_DEPTH values of column 0, then of column 1, ...
inline void array_step(const Operand &operand, uint32_t part, const WeightWord &word, Accumulators &accumulators) {
#pragma HLS INLINE
array_rows:
  for (int r = 0; r < TILE_ROWS; r++) {
#pragma HLS UNROLL
    const int8_t *left = operand.row[r][part / OPERAND_PARTS][part % OPERAND_PARTS];
  array_column_pairs:
    for (int c = 0; c < TILE_COLUMNS; c += 2) {
#pragma HLS UNROLL
      const DotPair pair = packed_dot(left, word.byte + c * TILE_DEPTH, word.byte + (c + 1) * TILE_DEPTH);
      accumulators.sum[r][c] += pair.low;
      accumulators.sum[r][c + 1] += pair.high;
    }
  }
}

}  // namespace moesaic

#endif
