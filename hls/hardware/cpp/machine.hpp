// The memories that units share, and the events that become counters.
#ifndef MOESAIC_MACHINE_HPP
#define MOESAIC_MACHINE_HPP

#include "act_memory.hpp"
#include "expert_queue.hpp"
#include "gelu_table.hpp"
#include "isa.hpp"
#include "row_statistics.hpp"
#include "weight_memory.hpp"

namespace moesaic {

struct Machine {
  ActMemory act;
  WeightMemory weight;
  GeluTable table;
  RowStatistics rows;
  ExpertQueue queue;
};

// Counters that need no clock, in the order of moesaic.spec.registers; the rest are the business of the RTL.
struct Events {
  uint64_t instructions;
  uint64_t matmul_array;
  uint64_t read_beats;
  uint64_t write_beats;
};

}  // namespace moesaic

#endif
