// How the vector unit writes an int8 row: zeros follow up to a whole group of TILE_COLUMNS.
#ifndef MOESAIC_PADDED_ROW_HPP
#define MOESAIC_PADDED_ROW_HPP

#include "act_memory.hpp"

namespace moesaic {

inline uint32_t padded_columns(uint32_t columns) { return (columns + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS; }

inline void pad_row(ActMemory &act, uint64_t address, uint32_t columns) {
pad_columns:
  for (uint32_t n = columns; n < padded_columns(columns); n++) act.byte[address + n] = 0;
}

}  // namespace moesaic

#endif
