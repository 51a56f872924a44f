// The machine as a shared library for ctypes: every call names its instance, and nothing is shared between instances.
#include <cstdint>
#include <new>

#include "control.hpp"

using namespace moesaic;

namespace {

// Hardware promises nothing about memories at power-up, so an instance starts with a pattern that depends on its seed.
uint64_t next(uint64_t &state) {
  state = state * 6364136223846793005ULL + 1442695040888963407ULL;
  return state >> 33;
}

template <typename Number>
void scribble(Number &number, uint64_t &state) {
  number = Number(next(state));
}

void scribble(Beat &beat, uint64_t &state) {
  for (int i = 0; i < int(BEAT_BYTES); i++) set_beat_byte(beat, i, uint8_t(next(state) & 0xff));
}

template <typename Element, int Size>
void scribble(Element (&memory)[Size], uint64_t &state) {
  for (int i = 0; i < Size; i++) scribble(memory[i], state);
}

}  // namespace

extern "C" {

uint64_t moesaic_fingerprint() { return FINGERPRINT; }

// Null if there is no memory.
void *moesaic_create(uint64_t seed) {
  Machine *machine = new (std::nothrow) Machine;
  if (machine == nullptr) return nullptr;
  scribble(machine->act.block, seed);
  scribble(machine->act.ultra, seed);
  scribble(machine->weight.lane, seed);
  scribble(machine->table.byte, seed);
  scribble(machine->rows.maximum, seed);
  scribble(machine->rows.multiplier, seed);
  scribble(machine->rows.shift, seed);
  clear(machine->queue);
  return machine;
}

void moesaic_destroy(void *machine) { delete static_cast<Machine *>(machine); }

// constants, frame: windows of so many bytes. result: fault, its unit and tag, then the events in their order. waiting, for
// FAULT_TIMEOUT: semaphores and tag of each unit, then the unit whose queue is full, as in Waits.
void moesaic_run(void *machine, const uint8_t *constants, uint32_t constant_size, uint8_t *frame, uint32_t frame_size,
                 uint32_t program_offset, uint32_t program_size, uint64_t *result, uint32_t *waiting) {
  const Beat *constant_beats = reinterpret_cast<const Beat *>(constants);
  Beat *frame_beats = reinterpret_cast<Beat *>(frame);
  RunInputs inputs;
  inputs.constant_size = constant_size;
  inputs.frame_size = frame_size;
  inputs.program_offset = program_offset;
  inputs.program_size = program_size;
  Waits waits = {};
  const RunOutputs outputs = run(*static_cast<Machine *>(machine), constant_beats, constant_beats, frame_beats,
                                 frame_beats, inputs, waits);
  result[0] = outputs.fault;
  result[1] = outputs.fault_unit;
  result[2] = outputs.fault_tag;
  result[3] = outputs.events.instructions;
  result[4] = outputs.events.matmul_array;
  result[5] = outputs.events.read_beats;
  result[6] = outputs.events.write_beats;
  for (int unit = 0; unit < UNITS; unit++) {
    waiting[2 * unit] = waits.semaphores[unit];
    waiting[2 * unit + 1] = waits.tag[unit];
  }
  waiting[2 * UNITS] = waits.full_queue;
}

}
