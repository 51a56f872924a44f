// Appended to the emulator: everything on chip that a program can change, as bytes, so that a fuzzer sets and compares all of it.

namespace {

struct State {
  uint8_t act[ACT_BYTES];
  uint8_t weight[WEIGHT_BYTES];
  uint8_t table[TABLE_BYTES];
  RowStatistics rows;
  ExpertQueue queue;
};

void copy_in(Machine &machine, const State &state) {
  for (uint32_t i = 0; i < ACT_BYTES / BEAT_BYTES; i++) {
    Beat beat;
    std::memcpy(&beat, state.act + i * BEAT_BYTES, BEAT_BYTES);
    write_act_beat(machine.act, i, beat);
  }
  std::memcpy(machine.weight.lane, state.weight, sizeof machine.weight.lane);
  for (uint32_t i = 0; i < TABLE_BYTES / BEAT_BYTES; i++) {
    Beat beat;
    std::memcpy(&beat, state.table + i * BEAT_BYTES, BEAT_BYTES);
    write_table_beat(machine.table, i * BEAT_BYTES, beat);
  }
  machine.rows = state.rows;
  machine.queue = state.queue;
}

}  // namespace

extern "C" {

uint64_t moesaic_state_bytes() { return sizeof(State); }

void moesaic_write_state(void *machine, const uint8_t *bytes) {
  State state;
  std::memcpy(&state, bytes, sizeof state);
  copy_in(*static_cast<Machine *>(machine), state);
}

void moesaic_read_state(const void *machine, uint8_t *bytes) {
  const Machine &from = *static_cast<const Machine *>(machine);
  State state;
  for (uint32_t i = 0; i < ACT_BYTES / BEAT_BYTES; i++) {
    const Beat beat = read_act_beat(from.act, i);
    std::memcpy(state.act + i * BEAT_BYTES, &beat, BEAT_BYTES);
  }
  std::memcpy(state.weight, from.weight.lane, sizeof from.weight.lane);
  std::memcpy(state.table, from.table.byte[0], sizeof state.table);
  state.rows = from.rows;
  state.queue = from.queue;
  std::memcpy(bytes, &state, sizeof state);
}

}
