// The vector unit: layer norm and softmax.
#ifndef MOESAIC_VECTOR_HPP
#define MOESAIC_VECTOR_HPP

#include "layer_norm.hpp"
#include "softmax.hpp"

namespace moesaic {

inline uint32_t vector_unit(const uint32_t *words, Machine &machine) {
#pragma HLS INLINE
  if (decode_header(words).opcode == OPCODE_LAYER_NORM) return layer_norm(decode_layer_norm(words), machine);
  return softmax(decode_softmax(words), machine);
}

}  // namespace moesaic

#endif
