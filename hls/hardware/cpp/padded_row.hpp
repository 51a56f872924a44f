// How the vector unit writes an int8 row: zeros follow up to a whole group of TILE_COLUMNS.
#ifndef MOESAIC_PADDED_ROW_HPP
#define MOESAIC_PADDED_ROW_HPP

#include "act_memory.hpp"

namespace moesaic {

// Groups of TILE_COLUMNS columns: an act word of int16, half of one of int8.
inline uint32_t column_groups(uint32_t columns) { return (columns + TILE_COLUMNS - 1) / TILE_COLUMNS; }

inline uint32_t padded_columns(uint32_t columns) { return column_groups(columns) * TILE_COLUMNS; }

}  // namespace moesaic

#endif
