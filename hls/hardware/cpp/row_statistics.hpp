// What softmax needs to know of each row: its maximum before, the reciprocal of its sum after.
#ifndef MOESAIC_ROW_STATISTICS_HPP
#define MOESAIC_ROW_STATISTICS_HPP

#include "configuration.hpp"
#include "dram.hpp"

namespace moesaic {

struct RowStatistics {
  int16_t maximum[ROW_ENTRIES];
  uint16_t multiplier[ROW_ENTRIES];
  uint8_t shift[ROW_ENTRIES];
};

inline bool inside_rows(uint32_t base, uint32_t rows) { return inside(base, rows, ROW_ENTRIES); }

}  // namespace moesaic

#endif
