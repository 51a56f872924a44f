// Counting semaphores between units.
#ifndef MOESAIC_SEMAPHORES_HPP
#define MOESAIC_SEMAPHORES_HPP

#include "isa.hpp"

namespace moesaic {

struct Semaphores {
  uint32_t count[SEMAPHORES];
};

inline void clear(Semaphores &semaphores) {
clear_semaphores:
  for (int s = 0; s < SEMAPHORES; s++) {
#pragma HLS UNROLL
    semaphores.count[s] = 0;
  }
}

// The semaphores of a mask that are at zero.
inline uint32_t missing(const Semaphores &semaphores, uint32_t mask) {
  uint32_t found = 0;
missing_semaphores:
  for (int s = 0; s < SEMAPHORES; s++) {
#pragma HLS UNROLL
    if ((mask >> s & 1) && semaphores.count[s] == 0) found |= 1U << s;
  }
  return found;
}

// Takes one from every semaphore of the mask, or nothing if one of them is at zero.
inline bool try_wait(Semaphores &semaphores, uint32_t mask) {
  if (missing(semaphores, mask) != 0) return false;
take_semaphores:
  for (int s = 0; s < SEMAPHORES; s++) {
#pragma HLS UNROLL
    if (mask >> s & 1) semaphores.count[s]--;
  }
  return true;
}

inline uint32_t signal(Semaphores &semaphores, uint32_t mask) {
  uint32_t fault = FAULT_NONE;
signal_semaphores:
  for (int s = 0; s < SEMAPHORES; s++) {
#pragma HLS UNROLL
    if (mask >> s & 1) {
      if (semaphores.count[s] == SEMAPHORE_MAX) {
        fault = FAULT_SEMAPHORE_OVERFLOW;
      } else {
        semaphores.count[s]++;
      }
    }
  }
  return fault;
}

}  // namespace moesaic

#endif
