// Tables of 1,024 int8 results, indexed by a value clipped to 10 bits. Two lanes share a copy: a block RAM has two ports.
#ifndef MOESAIC_GELU_TABLE_HPP
#define MOESAIC_GELU_TABLE_HPP

#include "arithmetic.hpp"
#include "configuration.hpp"

namespace moesaic {

constexpr int TABLE_BYTES = TABLES * TABLE_ENTRIES;
constexpr int TABLE_COPIES = TILE_COLUMNS / 2;

struct GeluTable {
  int8_t byte[TABLE_COPIES][TABLE_BYTES];
};

inline int8_t look_up(const GeluTable &table, int lane, uint32_t which, int16_t value) {
#pragma HLS INLINE
  const int32_t index = saturate(value, TABLE_INDEX_BITS) + TABLE_ENTRIES / 2;
  return table.byte[lane / 2][which * TABLE_ENTRIES + uint32_t(index)];
}

inline void write_table_beat(GeluTable &table, uint32_t address, const Beat &beat) {
#pragma HLS INLINE
table_bytes:
  for (uint32_t b = 0; b < BEAT_BYTES; b++) {
    // II=1: one byte is written to every copy.
#pragma HLS PIPELINE II=1
  table_copies:
    for (int copy = 0; copy < TABLE_COPIES; copy++) {
#pragma HLS UNROLL
      table.byte[copy][address + b] = int8_t(beat_byte(beat, int(b)));
    }
  }
}

}  // namespace moesaic

#endif
