// moesaic_reciprocal at Width, every value in turn, one a cycle, against the definition. Prints the number of values; status 1 at a difference.
#include <cstdint>
#include <cstdio>

#include "Vmoesaic_reciprocal.h"
#include "verilated.h"

static constexpr uint64_t VALUES = uint64_t{1} << WIDTH;

int main() {
  Vmoesaic_reciprocal dut;
  uint64_t seen = 0;
  auto cycle = [&dut] {
    dut.clk_i = 0;
    dut.eval();
    dut.clk_i = 1;
    dut.eval();
  };
  dut.rst_ni = 0;
  dut.valid_i = 0;
  for (int i = 0; i < 16; i++) cycle();
  dut.rst_ni = 1;
  for (uint64_t next = 0; seen < VALUES && next < VALUES + 32; next++) {
    dut.valid_i = next < VALUES;
    dut.value_i = static_cast<uint32_t>(next);
    cycle();
    if (!dut.valid_o) continue;
    const int bits = seen == 0 ? 0 : 64 - __builtin_clzll(seen);
    uint64_t mantissa = seen == 0 ? 0 : (uint64_t{1} << (15 + bits)) / seen;
    if (mantissa > 65535) mantissa = 65535;
    if (dut.mantissa_o != mantissa || dut.bits_o != bits) {
      std::printf("value %llu gives %u, %u\n", static_cast<unsigned long long>(seen), unsigned{dut.mantissa_o}, unsigned{dut.bits_o});
      return 1;
    }
    seen++;
  }
  std::printf("%llu\n", static_cast<unsigned long long>(seen));
  return seen != VALUES;
}
