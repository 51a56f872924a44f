// The loops that say `dependent=false` of a memory, each run twice on the same random memories: as written, and with every read
// seeing the memory as it was before the loop. A pipeline may run reads that early, so both must leave the same memories.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>

#include "layer_norm.hpp"
#include "matmul.hpp"
#include "softmax.hpp"

using namespace moesaic;

namespace {

Machine machine, before, expected;
bool early = false;

}  // namespace

// The functions that read a memory call these first, see test_dependences.py.
const ActMemory &moesaic::seen(const ActMemory &act) { return early ? before.act : act; }
const WeightMemory &moesaic::seen(const WeightMemory &weight) { return early ? before.weight : weight; }

namespace {

uint32_t below(std::mt19937 &random, uint32_t limit) { return uint32_t(random() % limit); }

void fill(std::mt19937 &random) {
  unsigned char *bytes = reinterpret_cast<unsigned char *>(&before);
  for (std::size_t i = 0; i < sizeof before; i++) bytes[i] = static_cast<unsigned char>(random());
}

template <typename Loop>
int compare(const char *name, int seed, Loop loop) {
  early = false;
  machine = before;
  loop();
  expected = machine;
  early = true;
  machine = before;
  loop();
  early = false;
  const bool equal = std::memcmp(&machine, &expected, sizeof machine) == 0;
  if (!equal) std::printf("%s, seed %d: an iteration needs what another has written\n", name, seed);
  if (std::memcmp(&machine, &before, sizeof machine) == 0) std::printf("%s, seed %d: nothing was written\n", name, seed);
  return equal ? 0 : 1;
}

// A row that lies in block RAM, in UltraRAM or across both, by turns.
uint64_t row_at(int seed) {
  const uint64_t edge = ACT_BLOCK_BYTES;
  return seed % 3 == 0 ? 64 * ACT_WORD_BYTES : seed % 3 == 1 ? edge + 8 * ACT_WORD_BYTES : edge - 2 * ACT_WORD_BYTES;
}

int check(int seed) {
  std::mt19937 random(static_cast<unsigned>(seed));
  fill(random);
  int wrong = 0;
  const uint64_t source = row_at(seed), other = 512 * ACT_WORD_BYTES;
  const uint32_t columns = 1 + below(random, 6 * TILE_COLUMNS);
  wrong += compare("softmax in place", seed, [&] { softmax_row(machine.act, source, source, columns, 100); });
  wrong += compare("softmax", seed, [&] { softmax_row(machine.act, source, other, columns, 100); });

  LayerNorm norm = {};
  norm.columns = columns;
  norm.param_address = uint32_t(1024 * ACT_WORD_BYTES);
  norm.shift = 8;
  wrong += compare("layer norm in place", seed, [&] { layer_norm_row(norm, machine.act, source, source); });
  wrong += compare("layer norm", seed, [&] { layer_norm_row(norm, machine.act, source, other); });
  wrong += compare("layer norm, odd", seed, [&] { layer_norm_row(norm, machine.act, source, other + TILE_COLUMNS); });

  TileRows tile = {};
  Accumulators accumulators;
  Parameters parameters;
  int16_t maximum[TILE_ROWS] = {};
  tile.count = TILE_ROWS;
  for (int i = 0; i < TILE_ROWS; i++) {
    tile.target[i] = uint32_t((TILE_ROWS - i) * 3 % 37);
    tile.score[i] = below(random, 65536);
    for (int c = 0; c < TILE_COLUMNS; c++) accumulators.sum[i][c] = int32_t(random()) >> 8;
  }
  for (int c = 0; c < TILE_COLUMNS; c++) {
    parameters.bias[c] = int32_t(random()) >> 12;
    parameters.multiplier[c] = below(random, 65536);
    parameters.shift[c] = 16 + below(random, 8);
  }
  const int valid = 1 + int(below(random, TILE_COLUMNS));
  Matmul product = {};
  product.d_address = uint32_t(source);
  product.d_pitch = 3 * ACT_WORD_BYTES;
  for (uint32_t destination : {DESTINATION_INT8, DESTINATION_INT16, DESTINATION_RESIDUAL}) {
    product.destination = destination;
    product.scatter = destination == DESTINATION_RESIDUAL;
    wrong += compare("results", seed, [&] { drain_to_act(product, machine, tile, accumulators, parameters, 1, valid, maximum); });
  }

  RowResults results;
  for (int16_t &value : results.value) value = int16_t(int(random() % 512) - 256);
  const uint32_t row = below(random, 2 * TILE_COLUMNS);
  for (uint64_t place : {uint64_t(32 * WEIGHT_WORD_BYTES), uint64_t(WEIGHT_BYTES) + 16 * WEIGHT_WORD_BYTES}) {
    product.d_address = uint32_t(place);
    product.d_pitch = 8 * WEIGHT_WORD_BYTES;
    wrong += compare("keys", seed, [&] { write_key_row(product, machine, results, row, 1, TILE_COLUMNS); });
  }
  return wrong;
}

}  // namespace

int main() {
  int wrong = 0;
  for (int seed = 0; seed < 24; seed++) wrong += check(seed);
  std::printf("%d wrong\n", wrong);
  return wrong == 0 ? 0 : 1;
}
