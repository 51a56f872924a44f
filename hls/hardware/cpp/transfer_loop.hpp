// The three nested loops that load and store have in common.
#ifndef MOESAIC_TRANSFER_LOOP_HPP
#define MOESAIC_TRANSFER_LOOP_HPP

#include <cstdint>

namespace moesaic {

// Byte addresses of a contiguous run, in DRAM and on chip.
struct Run {
  uint64_t dram;
  uint64_t local;
};

template <typename Transfer>
Run transfer_run(const Transfer &f, uint32_t i1, uint32_t i2, uint32_t i3) {
  Run run;
  run.dram = f.dram_offset + uint64_t(i3) * f.dram_stride_3 + uint64_t(i2) * f.dram_stride_2;
  run.dram += uint64_t(i1) * f.dram_stride_1;
  run.local = f.local_address + uint64_t(i3) * f.local_stride_3 + uint64_t(i2) * f.local_stride_2;
  run.local += uint64_t(i1) * f.local_stride_1;
  return run;
}

}  // namespace moesaic

#endif
