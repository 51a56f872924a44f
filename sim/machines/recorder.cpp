// Writes the events that recorder.sv reports to a file, with the running totals of the DRAM model.
#include <cerrno>
#include <cstdint>
#include <cstdio>

extern "C" {

uint64_t dram_bytes_read(int port);
uint64_t dram_bytes_written(int port);

}  // extern "C"

namespace {

// One event; sim/measurements/timeline/timeline.py has the same layout.
struct Record {
  uint32_t cycle;
  uint32_t array_cycles;   // cycles before this one in which the array multiplied
  uint32_t bytes_read;     // by all DRAM ports since the run began
  uint32_t bytes_written;
  uint8_t kind;
  uint8_t unit;
  uint8_t state;
  uint8_t unused;
};
static_assert(sizeof(Record) == 20, "no padding between records");

std::FILE* file = nullptr;
bool first = false;
uint64_t read_before = 0, written_before = 0;

}  // namespace

extern "C" {

// Write the events from now on to `path`. Returns 0 or an errno.
int recorder_open(const char* path) {
  file = std::fopen(path, "wb");
  first = true;
  return file == nullptr ? errno : 0;
}

// Returns 0 or an errno: a full disk shows here.
int recorder_close() {
  if (file == nullptr) return 0;
  const bool failed = std::ferror(file) != 0;
  const int status = std::fclose(file) != 0 || failed ? (errno != 0 ? errno : EIO) : 0;
  file = nullptr;
  return status;
}

void recorder_event(int ports, int kind, int unit, int state, int cycle, int array_cycles) {
  if (file == nullptr) return;
  uint64_t read = 0, written = 0;
  for (int port = 0; port < ports; ++port) {
    read += dram_bytes_read(port);
    written += dram_bytes_written(port);
  }
  if (first) {
    read_before = read;
    written_before = written;
    first = false;
  }
  const Record record{uint32_t(cycle), uint32_t(array_cycles), uint32_t(read - read_before),
                      uint32_t(written - written_before), uint8_t(kind), uint8_t(unit), uint8_t(state), 0};
  std::fwrite(&record, sizeof record, 1, file);
}

}  // extern "C"
