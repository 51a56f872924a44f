// A beat of DRAM and a window of it.
#ifndef MOESAIC_DRAM_HPP
#define MOESAIC_DRAM_HPP

#include <cstdint>

// Synthesis, and the test that checks what synthesis sees, use the arbitrary-precision types; the emulator is compiled
// without them, because native integers are forty times faster under g++.
#if defined(__SYNTHESIS__) && !defined(MOESAIC_AP_TYPES)
#define MOESAIC_AP_TYPES
#endif
#ifdef MOESAIC_AP_TYPES
#include <ap_int.h>
#endif

namespace moesaic {

constexpr uint32_t BEAT_BYTES = 16;

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

// size: bytes. Accesses are whole beats, at multiples of 16.
struct ReadWindow {
  const Beat *data;
  uint32_t size;
};

struct WriteWindow {
  Beat *data;
  uint32_t size;
};

// Whether `bytes` bytes at `address` lie inside a memory of `size` bytes. 64 bits, so nothing wraps.
inline bool inside(uint64_t address, uint64_t bytes, uint64_t size) { return address + bytes <= size; }

}  // namespace moesaic

#endif
