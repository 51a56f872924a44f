// The weight memory: weights, requantisation parameters, keys and values.
#ifndef MOESAIC_WEIGHT_MEMORY_HPP
#define MOESAIC_WEIGHT_MEMORY_HPP

#include "configuration.hpp"
#include "dram.hpp"

namespace moesaic {

constexpr int WEIGHT_WORD_BYTES = TILE_COLUMNS * TILE_DEPTH;
constexpr int PARAMETER_BYTES = 8;

struct WeightMemory {
  int8_t byte[WEIGHT_BYTES];
};

struct Parameter {
  int32_t bias;
  uint32_t multiplier;
  uint32_t shift;
};

inline bool inside_weight(uint64_t address, uint64_t bytes) { return inside(address, bytes, WEIGHT_BYTES); }

inline Parameter read_parameter(const WeightMemory &weight, uint64_t address) {
  uint32_t byte[PARAMETER_BYTES];
parameter_bytes:
  for (int i = 0; i < PARAMETER_BYTES; i++) {
#pragma HLS UNROLL
    byte[i] = uint8_t(weight.byte[address + i]);
  }
  Parameter parameter;
  parameter.bias = int32_t(byte[0] | byte[1] << 8 | byte[2] << 16 | byte[3] << 24);
  parameter.multiplier = byte[4] | byte[5] << 8;
  parameter.shift = byte[6];
  return parameter;
}

}  // namespace moesaic

#endif
