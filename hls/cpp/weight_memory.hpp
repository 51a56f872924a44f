// The weight memory: weights, requantisation parameters, keys and values.
#ifndef MOESAIC_WEIGHT_MEMORY_HPP
#define MOESAIC_WEIGHT_MEMORY_HPP

#include "act_memory.hpp"

namespace moesaic {

constexpr int WEIGHT_WORD_BYTES = TILE_COLUMNS * TILE_DEPTH;
constexpr int PARAMETER_BYTES = 8;

struct WeightMemory {
  int8_t byte[WEIGHT_BYTES];
};

// Weight addresses from WEIGHT_BYTES on are the first SHARED_BYTES of the activation memory.
constexpr int WEIGHT_WINDOW_BYTES = WEIGHT_BYTES + SHARED_BYTES;

inline bool inside_weight(uint64_t address, uint64_t bytes) { return inside(address, bytes, WEIGHT_WINDOW_BYTES); }

struct WeightWord {
  int8_t byte[WEIGHT_WORD_BYTES];
};

// address: a multiple of WEIGHT_WORD_BYTES.
inline void read_weight_word(const WeightMemory &weight, const ActMemory &act, uint64_t address, WeightWord &word) {
#pragma HLS INLINE
  const bool own = address < uint64_t(WEIGHT_BYTES);
weight_word_bytes:
  for (int i = 0; i < WEIGHT_WORD_BYTES; i++) {
#pragma HLS UNROLL
    word.byte[i] = own ? weight.byte[address + i] : int8_t(act.byte[address - WEIGHT_BYTES + i]);
  }
}

inline void write_weight(WeightMemory &weight, ActMemory &act, uint64_t address, int8_t value) {
  if (address < uint64_t(WEIGHT_BYTES)) {
    weight.byte[address] = value;
  } else {
    act.byte[address - WEIGHT_BYTES] = uint8_t(value);
  }
}

struct Parameter {
  int32_t bias;
  uint32_t multiplier;
  uint32_t shift;
};

inline Parameter read_parameter(const WeightMemory &weight, const ActMemory &act, uint64_t address) {
  uint32_t byte[PARAMETER_BYTES];
parameter_bytes:
  for (int i = 0; i < PARAMETER_BYTES; i++) {
#pragma HLS UNROLL
    byte[i] = address < uint64_t(WEIGHT_BYTES) ? uint8_t(weight.byte[address + i]) : act.byte[address - WEIGHT_BYTES + i];
  }
  Parameter parameter;
  parameter.bias = int32_t(byte[0] | byte[1] << 8 | byte[2] << 16 | byte[3] << 24);
  parameter.multiplier = byte[4] | byte[5] << 8;
  parameter.shift = byte[6];
  return parameter;
}

}  // namespace moesaic

#endif
