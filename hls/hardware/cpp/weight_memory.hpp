// The weight memory: weights, requantisation parameters, keys and values; in beats, one RAM for each beat of a word.
#ifndef MOESAIC_WEIGHT_MEMORY_HPP
#define MOESAIC_WEIGHT_MEMORY_HPP

#include "act_memory.hpp"

namespace moesaic {

constexpr int WEIGHT_WORD_BYTES = TILE_COLUMNS * TILE_DEPTH;
constexpr int WEIGHT_WORD_BEATS = WEIGHT_WORD_BYTES / int(BEAT_BYTES);
constexpr int WEIGHT_WORDS = WEIGHT_BYTES / WEIGHT_WORD_BYTES;

struct WeightMemory {
  Beat lane[WEIGHT_WORDS][WEIGHT_WORD_BEATS];
};

// Weight addresses from WEIGHT_BYTES on are the first SHARED_BYTES of the activation memory.
constexpr int WEIGHT_WINDOW_BYTES = WEIGHT_BYTES + SHARED_BYTES;

inline bool inside_weight(uint64_t address, uint64_t bytes) { return inside(address, bytes, WEIGHT_WINDOW_BYTES); }

struct WeightWord {
  uint8_t byte[WEIGHT_WORD_BYTES];
};

// index: in words, from 0.
inline WeightWord read_weight_word(const WeightMemory &weight, const ActMemory &act, uint32_t index) {
#pragma HLS INLINE
  WeightWord word;
#pragma HLS ARRAY_PARTITION variable=word.byte type=complete
  if (index < uint32_t(WEIGHT_WORDS)) {
    unpack<WEIGHT_WORD_BYTES>(weight.lane[index], word.byte);
  } else {
  shared_words:
    for (int i = 0; i < WIDE_WORDS; i++) {
#pragma HLS UNROLL
      unpack<ACT_WORD_BYTES>(act.block[index - uint32_t(WEIGHT_WORDS)][i], word.byte + i * ACT_WORD_BYTES);
    }
  }
  return word;
}

#ifdef MOESAIC_AP_TYPES
#else
// Where a word's bytes lie.
inline const uint8_t *weight_word_bytes(const WeightMemory &weight, const ActMemory &act, uint32_t index) {
  return index < uint32_t(WEIGHT_WORDS) ? weight.lane[index][0].byte : act.block[index - uint32_t(WEIGHT_WORDS)][0][0].byte;
}
#endif

inline void write_weight_word(WeightMemory &weight, ActMemory &act, uint32_t index, const WeightWord &word) {
#pragma HLS INLINE
  if (index < uint32_t(WEIGHT_WORDS)) {
    pack<WEIGHT_WORD_BYTES>(word.byte, weight.lane[index]);
  } else {
  shared_words:
    for (int i = 0; i < WIDE_WORDS; i++) {
#pragma HLS UNROLL
      pack<ACT_WORD_BYTES>(word.byte + i * ACT_WORD_BYTES, act.block[index - uint32_t(WEIGHT_WORDS)][i]);
    }
  }
}

// index: in beats, from 0.
inline Beat read_weight_beat(const WeightMemory &weight, const ActMemory &act, uint32_t index) {
#pragma HLS INLINE
  const uint32_t word = index / WEIGHT_WORD_BEATS;
  if (word < uint32_t(WEIGHT_WORDS)) return weight.lane[word][index % WEIGHT_WORD_BEATS];
  return read_act_beat(act, index - uint32_t(WEIGHT_WORDS) * WEIGHT_WORD_BEATS);
}

inline void write_weight_beat(WeightMemory &weight, ActMemory &act, uint32_t index, const Beat &beat) {
#pragma HLS INLINE
  const uint32_t word = index / WEIGHT_WORD_BEATS;
  if (word < uint32_t(WEIGHT_WORDS)) {
    weight.lane[word][index % WEIGHT_WORD_BEATS] = beat;
  } else {
    write_act_beat(act, index - uint32_t(WEIGHT_WORDS) * WEIGHT_WORD_BEATS, beat);
  }
}

// How the sums of a tile's columns are requantised.
struct Parameters {
  int32_t bias[TILE_COLUMNS];
  uint32_t multiplier[TILE_COLUMNS];
  uint32_t shift[TILE_COLUMNS];
};

constexpr int WORD_PARAMETERS = WEIGHT_WORD_BYTES / PARAMETER_BYTES;
constexpr int PARAMETER_WORDS = TILE_COLUMNS / WORD_PARAMETERS;

// The parameters of TILE_COLUMNS columns. address: a multiple of WEIGHT_WORD_BYTES.
inline void read_parameters(const WeightMemory &weight, const ActMemory &act, uint64_t address, Parameters &parameters) {
parameter_words:
  for (int w = 0; w < PARAMETER_WORDS; w++) {
    // II=1: one word is read, its parameters are registers.
#pragma HLS PIPELINE II=1
    const WeightWord word = read_weight_word(weight, act, uint32_t(address / WEIGHT_WORD_BYTES) + uint32_t(w));
#pragma HLS ARRAY_PARTITION variable=word.byte type=complete
  word_parameters:
    for (int i = 0; i < WORD_PARAMETERS; i++) {
#pragma HLS UNROLL
      uint32_t byte[PARAMETER_BYTES];
#pragma HLS ARRAY_PARTITION variable=byte type=complete
    parameter_bytes:
      for (int b = 0; b < PARAMETER_BYTES; b++) {
#pragma HLS UNROLL
        byte[b] = word.byte[i * PARAMETER_BYTES + b];
      }
      const int c = w * WORD_PARAMETERS + i;
      parameters.bias[c] = int32_t(byte[PARAMETER_BIAS_BYTE] | byte[PARAMETER_BIAS_BYTE + 1] << 8 |
                                   byte[PARAMETER_BIAS_BYTE + 2] << 16 | byte[PARAMETER_BIAS_BYTE + 3] << 24);
      parameters.multiplier[c] = byte[PARAMETER_MULTIPLIER_BYTE] | byte[PARAMETER_MULTIPLIER_BYTE + 1] << 8;
      parameters.shift[c] = byte[PARAMETER_SHIFT_BYTE];
    }
  }
}

}  // namespace moesaic

#endif
