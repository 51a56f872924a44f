// A beat, 16 bytes: what DRAM moves at a time and what the on-chip memories are made of.
//
// A window of DRAM is a pointer to its first beat and a size in bytes, always apart: a pointer in a struct that is passed by reference
// is a pointer to a pointer, which Vitis HLS refuses. Indices into a window are of 64 bits: those of 32 may wrap, so no burst is made.
#ifndef MOESAIC_DRAM_HPP
#define MOESAIC_DRAM_HPP

#include <cstdint>

#include "isa.hpp"

// Synthesis, and the test that checks what synthesis sees, use the arbitrary-precision types; the emulator is compiled
// without them, because native integers are forty times faster under g++.
#if defined(__SYNTHESIS__) && !defined(MOESAIC_AP_TYPES)
#define MOESAIC_AP_TYPES
#endif
#ifdef MOESAIC_AP_TYPES
#include <ap_int.h>
#else
#include <cstring>
#endif

namespace moesaic {

#ifdef MOESAIC_AP_TYPES
typedef ap_uint<8 * BEAT_BYTES> Beat;

inline uint8_t beat_byte(const Beat &beat, int index) {
  return uint8_t(beat.range(8 * index + 7, 8 * index).to_uint());
}
inline void set_beat_byte(Beat &beat, int index, uint8_t value) { beat.range(8 * index + 7, 8 * index) = value; }
#else
struct Beat {
  uint8_t byte[BEAT_BYTES];
};

inline uint8_t beat_byte(const Beat &beat, int index) { return beat.byte[index]; }
inline void set_beat_byte(Beat &beat, int index, uint8_t value) { beat.byte[index] = value; }
#endif

// Some beats as bytes, to be used as a word, and back. beats: an array of Bytes / BEAT_BYTES of them.
#ifdef MOESAIC_AP_TYPES
template <int Bytes>
inline void unpack(const Beat *beats, uint8_t *bytes) {
#pragma HLS INLINE
unpack_bytes:
  for (int i = 0; i < Bytes; i++) {
#pragma HLS UNROLL
    bytes[i] = beat_byte(beats[i / int(BEAT_BYTES)], i % int(BEAT_BYTES));
  }
}

template <int Bytes>
inline void pack(const uint8_t *bytes, Beat *beats) {
#pragma HLS INLINE
pack_bytes:
  for (int i = 0; i < Bytes; i++) {
#pragma HLS UNROLL
    set_beat_byte(beats[i / int(BEAT_BYTES)], i % int(BEAT_BYTES), bytes[i]);
  }
}
#else
template <int Bytes>
inline void unpack(const Beat *beats, uint8_t *bytes) {
  std::memcpy(bytes, beats, Bytes);
}

template <int Bytes>
inline void pack(const uint8_t *bytes, Beat *beats) {
  std::memcpy(beats, bytes, Bytes);
}
#endif

// Whether `bytes` bytes at `address` lie inside a memory of `size` bytes. 64 bits, so nothing wraps.
inline bool inside(uint64_t address, uint64_t bytes, uint64_t size) { return address + bytes <= size; }

}  // namespace moesaic

#endif
