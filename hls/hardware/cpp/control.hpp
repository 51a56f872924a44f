// A run: fetch and the units take turns, each as far as it can, until the program has ended or all are stuck.
#ifndef MOESAIC_CONTROL_HPP
#define MOESAIC_CONTROL_HPP

#include "fetch.hpp"
#include "load.hpp"
#include "matmul.hpp"
#include "route.hpp"
#include "semaphores.hpp"
#include "store.hpp"
#include "vector.hpp"

namespace moesaic {

// The registers that the host writes before a run, without the places of the windows.
struct RunInputs {
  uint32_t constant_size;
  uint32_t frame_size;
  uint32_t program_offset;
  uint32_t program_size;
};

// The registers that the host reads after it.
struct RunOutputs {
  uint32_t fault;
  uint32_t fault_unit;
  uint32_t fault_tag;
  Events events;
};

// Who waits for what when no unit can go on: of each unit's first instruction the semaphores at zero (none if there is no instruction)
// and the tag; and the unit whose queue has no room for the instruction that fetch holds, UNITS if it holds none.
struct Waits {
  uint32_t semaphores[UNITS];
  uint32_t tag[UNITS];
  uint32_t full_queue;
};

inline uint32_t execute(uint32_t unit, const uint32_t *words, const Beat *load_constants, const Beat *load_frame,
                        Beat *store_frame, const RunInputs &inputs, Machine &machine, Events &events) {
#pragma HLS INLINE
  switch (unit) {
    case UNIT_LOAD:
      return load(decode_load(words), load_constants, inputs.constant_size, load_frame, inputs.frame_size, machine,
                  events);
    case UNIT_STORE:
      return store(decode_store(words), store_frame, inputs.frame_size, machine, events);
    case UNIT_MATMUL:
      return matmul(decode_matmul(words), machine, events);
    case UNIT_VECTOR:
      return vector_unit(words, machine);
    default:
      return route(decode_route(words), machine);
  }
}

inline RunOutputs stop(uint32_t fault, uint32_t unit, uint32_t tag, const Events &events) {
  RunOutputs outputs;
  outputs.fault = fault;
  outputs.fault_unit = unit;
  outputs.fault_tag = tag;
  outputs.events = events;
  return outputs;
}

inline void find_waits(const IssueQueues &queues, const Semaphores &semaphores, const Fetch &state, Waits &waits) {
#pragma HLS INLINE
  uint32_t words[INSTRUCTION_WORDS];
waiting_units:
  for (uint32_t unit = 0; unit < UNITS; unit++) {
    waits.semaphores[unit] = 0;
    waits.tag[unit] = 0;
    if (!is_empty(queues, unit)) {
      read_front(queues, unit, words);
      const Header header = decode_header(words);
      waits.semaphores[unit] = missing(semaphores, header.wait_mask);
      waits.tag[unit] = header.tag;
    }
  }
  waits.full_queue = state.holding ? unit_of(decode_header(state.words).opcode) : uint32_t(UNITS);
}

// The windows of DRAM as each unit reaches them: synthesis has a port for what is only read. waits: written if the run ends with
// FAULT_TIMEOUT.
inline RunOutputs run(Machine &machine, const Beat *fetch_constants, const Beat *load_constants, const Beat *load_frame,
                      Beat *store_frame, const RunInputs &inputs, Waits &waits) {
#pragma HLS INLINE
  Events events = {0, 0, 0, 0};
  Semaphores semaphores;
  clear(semaphores);
  IssueQueues queues;
  uint32_t words[INSTRUCTION_WORDS];
  // A queue is a LUT RAM as wide as an instruction; the one in execution, and what counts, are registers.
#pragma HLS ARRAY_PARTITION variable=words type=complete
#pragma HLS ARRAY_PARTITION variable=semaphores.count type=complete
#pragma HLS ARRAY_PARTITION variable=queues.first type=complete
#pragma HLS ARRAY_PARTITION variable=queues.count type=complete
#pragma HLS ARRAY_RESHAPE variable=queues.words type=complete dim=3
#pragma HLS BIND_STORAGE variable=queues.words type=ram_2p impl=lutram
  clear(queues);
  Fetch state = {};
#pragma HLS ARRAY_PARTITION variable=state.words type=complete
  state.position = inputs.program_offset;
  state.end = uint64_t(inputs.program_offset) + inputs.program_size;
  if (state.end > inputs.constant_size) state.end = inputs.constant_size;

  bool progress = true;
turns:
  while (progress) {
    progress = false;
    const uint32_t fetch_fault = fetch(state, fetch_constants, queues, events);
    if (fetch_fault != FAULT_NONE) return stop(fetch_fault, UNIT_FETCH, 0, events);
  units:
    for (uint32_t unit = 0; unit < UNITS; unit++) {
    instructions:
      while (!is_empty(queues, unit)) {
        read_front(queues, unit, words);
        const Header header = decode_header(words);
        if (!try_wait(semaphores, header.wait_mask)) break;
        progress = true;
        uint32_t fault = execute(unit, words, load_constants, load_frame, store_frame, inputs, machine, events);
        if (fault == FAULT_NONE) fault = signal(semaphores, header.signal_mask);
        if (fault != FAULT_NONE) return stop(fault, unit, header.tag, events);
        pop(queues, unit);
        events.instructions++;
      }
    }
  }
  bool finished = state.ended;
remaining:
  for (uint32_t unit = 0; unit < UNITS; unit++) finished = finished && is_empty(queues, unit);
  if (!finished) {
    find_waits(queues, semaphores, state, waits);
    return stop(FAULT_TIMEOUT, UNIT_FETCH, 0, events);
  }
  events.instructions++;
  return stop(FAULT_NONE, 0, 0, events);
}

}  // namespace moesaic

#endif
