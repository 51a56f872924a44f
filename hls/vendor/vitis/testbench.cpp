// Test bench of the kernel for csim and cosim: DRAM as golden vectors say, one run for each of them, all of DRAM compared.
//
// Arguments: the directory of the vectors, then the number of runs (default: all of cases.hpp). Returns 0 only if every byte
// and every count is right, so that csim_design and cosim_design fail when anything is wrong.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "cases.hpp"
#include "dram.hpp"
#include "memory_depth.hpp"

using moesaic::BEAT_BYTES;
using moesaic::Beat;

extern "C" void kernel(const Beat *load_memory, Beat *main_memory, uint64_t constant_base, uint32_t constant_size,
                       uint64_t frame_base, uint32_t frame_size, uint32_t program_offset, uint32_t program_size,
                       uint32_t *fault, uint32_t *fault_unit, uint32_t *fault_tag, uint32_t *instructions,
                       uint32_t *matmul_array, uint32_t *read_beats, uint32_t *write_beats);

namespace {

const unsigned char GUARD = 0x3C;

bool read_file(const std::string &path, std::vector<unsigned char> &content, std::size_t size) {
  std::ifstream file(path, std::ios::binary);
  content.resize(size);
  file.read(reinterpret_cast<char *>(content.data()), std::streamsize(size));
  if (std::size_t(file.gcount()) == size && file.peek() == std::ifstream::traits_type::eof()) return true;
  std::printf("%s: %ld bytes could be read, it must have exactly %lu\n", path.c_str(), long(file.gcount()),
              static_cast<unsigned long>(size));
  return false;
}

// What lies in DRAM: a guard page, the constants, the frame.
std::vector<unsigned char> image_of(const std::vector<unsigned char> &constants, const std::vector<unsigned char> &frame) {
  std::vector<unsigned char> bytes(std::size_t(MEMORY_BEATS) * BEAT_BYTES, GUARD);
  for (std::size_t i = 0; i < constants.size(); i++) bytes[CONSTANT_BASE + i] = constants[i];
  for (std::size_t i = 0; i < frame.size(); i++) bytes[FRAME_BASE + i] = frame[i];
  return bytes;
}

void to_beats(const std::vector<unsigned char> &bytes, std::vector<Beat> &beats) {
  beats.resize(bytes.size() / BEAT_BYTES);
  for (std::size_t i = 0; i < bytes.size(); i++) {
    moesaic::set_beat_byte(beats[i / BEAT_BYTES], int(i % BEAT_BYTES), bytes[i]);
  }
}

unsigned long count_wrong(const char *name, const std::vector<Beat> &beats, const std::vector<unsigned char> &expected) {
  unsigned long wrong = 0;
  for (std::size_t i = 0; i < expected.size(); i++) {
    const unsigned found = moesaic::beat_byte(beats[i / BEAT_BYTES], int(i % BEAT_BYTES));
    if (found == expected[i]) continue;
    if (wrong++ == 0) {
      std::printf("  %s, first wrong byte at 0x%lx: %u where %u belongs\n", name, static_cast<unsigned long>(i), found,
                  unsigned(expected[i]));
    }
  }
  return wrong;
}

unsigned long count_wrong(const char *name, uint32_t found, uint32_t expected) {
  if (found != expected) std::printf("  %s: %u where %u belongs\n", name, found, expected);
  return found != expected;
}

}  // namespace

int main(int argc, char **argv) {
  const std::string directory = argc > 1 ? argv[1] : ".";
  const int runs = argc > 2 ? std::atoi(argv[2]) : CASES;
  if (runs < 1 || runs > CASES) {
    std::printf("%d runs were asked for, there are 1 to %d\n", runs, CASES);
    return 2;
  }
  std::vector<unsigned char> constants, before, after;
  if (!read_file(directory + "/constants.bin", constants, CONSTANT_BYTES)) return 2;
  int failed = 0;
  for (int i = 0; i < runs; i++) {
    const Case &c = CASE[i];
    if (!read_file(directory + "/" + c.name + ".before.bin", before, FRAME_BYTES)) return 2;
    if (!read_file(directory + "/" + c.name + ".after.bin", after, FRAME_BYTES)) return 2;
    const std::vector<unsigned char> start = image_of(constants, before);
    std::vector<Beat> load_memory, main_memory;
    to_beats(start, load_memory);
    to_beats(start, main_memory);
    uint32_t fault = ~0U, unit = ~0U, tag = ~0U, instructions = 0, matmul_array = 0, read_beats = 0, write_beats = 0;
    kernel(load_memory.data(), main_memory.data(), CONSTANT_BASE, CONSTANT_BYTES, FRAME_BASE, FRAME_BYTES,
           c.program_offset, c.program_size, &fault, &unit, &tag, &instructions, &matmul_array, &read_beats, &write_beats);
    unsigned long wrong = count_wrong("DRAM", main_memory, image_of(constants, after));
    wrong += count_wrong("DRAM behind the load port", load_memory, start);
    wrong += count_wrong("fault", fault, 0);
    wrong += count_wrong("instructions", instructions, c.instructions);
    wrong += count_wrong("array steps", matmul_array, c.matmul_array);
    wrong += count_wrong("beats read", read_beats, c.read_beats);
    wrong += count_wrong("beats written", write_beats, c.write_beats);
    std::printf("%s: %s, %lu bytes of DRAM compared, %lu wrong\n", c.name, wrong == 0 ? "equal" : "DIFFERENT",
                static_cast<unsigned long>(start.size()), wrong);
    failed += wrong != 0;
  }
  std::printf("%d of %d runs equal\n", runs - failed, runs);
  return failed == 0 ? 0 : 1;
}
