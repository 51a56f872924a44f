// Waveforms of a window of the simulation, for models compiled with --trace-fst: what is not in the window costs nothing.
#include <cerrno>
#include <cstdint>
#include <cstdio>

#include "verilated.h"
#include "verilated_fst_c.h"

namespace {

VerilatedFstC* waveform = nullptr;

}  // namespace

extern "C" {

// Begin a file. Returns 0 or an errno.
int waveform_open(const char* path) {
  std::FILE* file = std::fopen(path, "wb");  // the writer itself says nothing when it cannot
  if (file == nullptr) return errno;
  std::fclose(file);
  waveform = new VerilatedFstC;
  Verilated::threadContextp()->trace(waveform, 99);
  waveform->set_time_resolution("1ps");
  waveform->open(path);
  return 0;
}

// Write what has changed; `time` in units of the file, rising. To be called when the model has settled.
void waveform_dump(uint64_t time) { waveform->dump(time); }

// The object stays: the model keeps pointers to it.
void waveform_close() { waveform->close(); }

}  // extern "C"
