// The activation memory: words of TILE_COLUMNS int16 or twice as many int8, little-endian.
//
// It is kept in beats, so that a load or store moves one element, and a word is one element of each of several RAMs. The lower
// part is block RAM, the upper part UltraRAM. A word of the weight memory that lies here (see weight_memory.hpp) is WIDE_WORDS
// words of this memory, one in each bank of the lower part. Every access reads or writes one word; none crosses words.
#ifndef MOESAIC_ACT_MEMORY_HPP
#define MOESAIC_ACT_MEMORY_HPP

#include "configuration.hpp"
#include "dram.hpp"

namespace moesaic {

constexpr int ACT_WORD_BYTES = 2 * TILE_COLUMNS;
constexpr int ACT_WORD_BEATS = ACT_WORD_BYTES / int(BEAT_BYTES);
constexpr int WIDE_WORDS = TILE_DEPTH / 2;
constexpr int ACT_BLOCK_BYTES = ACT_BYTES - ACT_ULTRA_BYTES;
constexpr int ACT_BLOCK_WORDS = ACT_BLOCK_BYTES / ACT_WORD_BYTES;
constexpr int ACT_BLOCK_ROWS = (ACT_BLOCK_WORDS + WIDE_WORDS - 1) / WIDE_WORDS;
constexpr int ACT_ULTRA_WORDS = ACT_ULTRA_BYTES / ACT_WORD_BYTES;
constexpr int ACT_ULTRA_ROWS = ACT_ULTRA_WORDS > 0 ? ACT_ULTRA_WORDS : 1;  // C++ has no empty arrays

struct ActMemory {
  Beat block[ACT_BLOCK_ROWS][WIDE_WORDS][ACT_WORD_BEATS];
  Beat ultra[ACT_ULTRA_ROWS][ACT_WORD_BEATS];
};

struct ActWord {
  uint8_t byte[ACT_WORD_BYTES];
};

inline bool inside_act(uint64_t address, uint64_t bytes) { return inside(address, bytes, ACT_BYTES); }

// index: in words, from 0.
inline ActWord read_act_word(const ActMemory &act, uint32_t index) {
#pragma HLS INLINE
  ActWord word;
#pragma HLS ARRAY_PARTITION variable=word.byte type=complete
  if (index < uint32_t(ACT_BLOCK_WORDS)) {
    unpack<ACT_WORD_BYTES>(act.block[index / WIDE_WORDS][index % WIDE_WORDS], word.byte);
  } else {
    unpack<ACT_WORD_BYTES>(act.ultra[index - uint32_t(ACT_BLOCK_WORDS)], word.byte);
  }
  return word;
}

inline void write_act_word(ActMemory &act, uint32_t index, const ActWord &word) {
#pragma HLS INLINE
  if (index < uint32_t(ACT_BLOCK_WORDS)) {
    pack<ACT_WORD_BYTES>(word.byte, act.block[index / WIDE_WORDS][index % WIDE_WORDS]);
  } else {
    pack<ACT_WORD_BYTES>(word.byte, act.ultra[index - uint32_t(ACT_BLOCK_WORDS)]);
  }
}

// index: in beats, from 0.
inline Beat read_act_beat(const ActMemory &act, uint32_t index) {
#pragma HLS INLINE
  const uint32_t word = index / ACT_WORD_BEATS;
  const uint32_t beat = index % ACT_WORD_BEATS;
  if (word < uint32_t(ACT_BLOCK_WORDS)) return act.block[word / WIDE_WORDS][word % WIDE_WORDS][beat];
  return act.ultra[word - uint32_t(ACT_BLOCK_WORDS)][beat];
}

inline void write_act_beat(ActMemory &act, uint32_t index, const Beat &beat) {
#pragma HLS INLINE
  const uint32_t word = index / ACT_WORD_BEATS;
  if (word < uint32_t(ACT_BLOCK_WORDS)) {
    act.block[word / WIDE_WORDS][word % WIDE_WORDS][index % ACT_WORD_BEATS] = beat;
  } else {
    act.ultra[word - uint32_t(ACT_BLOCK_WORDS)][index % ACT_WORD_BEATS] = beat;
  }
}

// Half a word: TILE_COLUMNS int8 at index * TILE_COLUMNS. Whole beats, or half of one where TILE_COLUMNS is 8: then a loop that
// writes one half after another takes the beat of the half before from `last`, so that it never reads what it has written.
inline void write_act_half(ActMemory &act, uint32_t index, const uint8_t *byte, bool first, Beat &last) {
#pragma HLS INLINE
  if (TILE_COLUMNS < int(BEAT_BYTES)) {
    Beat beat = read_act_beat(act, index / 2);
    if (!first && index % 2 == 1) beat = last;
  half_beat_bytes:
    for (int c = 0; c < TILE_COLUMNS; c++) {
#pragma HLS UNROLL
      set_beat_byte(beat, int(index % 2) * TILE_COLUMNS + c, byte[c]);
    }
    write_act_beat(act, index / 2, beat);
    last = beat;
  } else {
    constexpr int BEATS = TILE_COLUMNS < int(BEAT_BYTES) ? 1 : TILE_COLUMNS / int(BEAT_BYTES);
  half_beats:
    for (int b = 0; b < BEATS; b++) {
#pragma HLS UNROLL
      Beat beat;
    half_bytes:
      for (int i = 0; i < int(BEAT_BYTES); i++) {
#pragma HLS UNROLL
        set_beat_byte(beat, i, byte[(b * int(BEAT_BYTES) + i) % TILE_COLUMNS]);
      }
      write_act_beat(act, index * BEATS + uint32_t(b), beat);
    }
  }
}

#ifdef MOESAIC_AP_TYPES
inline int16_t int16_of(const ActWord &word, int lane) {
  return int16_t(uint16_t(word.byte[2 * lane] | (uint32_t(word.byte[2 * lane + 1]) << 8)));
}

inline void set_int16(ActWord &word, int lane, int16_t value) {
  word.byte[2 * lane] = uint8_t(uint16_t(value) & 0xff);
  word.byte[2 * lane + 1] = uint8_t(uint16_t(value) >> 8);
}
#else
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the emulator's processor keeps an int16 as the machine does");

inline int16_t int16_of(const ActWord &word, int lane) {
  int16_t value;
  std::memcpy(&value, word.byte + 2 * lane, sizeof value);
  return value;
}

inline void set_int16(ActWord &word, int lane, int16_t value) {
  std::memcpy(word.byte + 2 * lane, &value, sizeof value);
}
#endif

}  // namespace moesaic

#endif
