// The activation memory: bytes, used as int8 or little-endian int16.
#ifndef MOESAIC_ACT_MEMORY_HPP
#define MOESAIC_ACT_MEMORY_HPP

#include "configuration.hpp"
#include "dram.hpp"

namespace moesaic {

constexpr int ACT_WORD_BYTES = 2 * TILE_COLUMNS;

struct ActMemory {
  uint8_t byte[ACT_BYTES];
};

inline bool inside_act(uint64_t address, uint64_t bytes) { return inside(address, bytes, ACT_BYTES); }

inline int16_t read_int16(const ActMemory &act, uint64_t address) {
  return int16_t(uint16_t(act.byte[address] | (uint32_t(act.byte[address + 1]) << 8)));
}

inline void write_int16(ActMemory &act, uint64_t address, int16_t value) {
  act.byte[address] = uint8_t(value);
  act.byte[address + 1] = uint8_t(uint16_t(value) >> 8);
}

}  // namespace moesaic

#endif
