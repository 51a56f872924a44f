// Tables of 1,024 int8 results, indexed by a value clipped to 10 bits.
#ifndef MOESAIC_GELU_TABLE_HPP
#define MOESAIC_GELU_TABLE_HPP

#include "arithmetic.hpp"
#include "configuration.hpp"

namespace moesaic {

constexpr int TABLE_INDEX_BITS = 10;
constexpr int TABLE_ENTRIES = 1 << TABLE_INDEX_BITS;

struct GeluTable {
  int8_t byte[TABLES * TABLE_ENTRIES];
};

inline int8_t look_up(const GeluTable &table, uint32_t which, int64_t value) {
  const int32_t index = int32_t(saturate(value, TABLE_INDEX_BITS)) + TABLE_ENTRIES / 2;
  return table.byte[which * TABLE_ENTRIES + uint32_t(index)];
}

}  // namespace moesaic

#endif
