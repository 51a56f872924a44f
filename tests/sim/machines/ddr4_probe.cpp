// Accesses to the DDR4 model without AXI ports in between: when each is answered.
#include "ddr4.cpp"

struct Access {
  uint64_t cycle;  // in which it is requested; ascending
  int64_t port, write;
  uint64_t address;
};

// answers: the cycle in which each access is answered; every answer is taken at once.
extern "C" void ddr4_probe(const int64_t* values, uint64_t seed, const Access* accesses, size_t count, uint64_t* answers) {
  Ddr4Parameters parameters;
#define DDR4_FIELD(name) parameters.name = *values++;
  DDR4_PARAMETERS(DDR4_FIELD)
#undef DDR4_FIELD
  Ddr4 ddr4;
  ddr4.configure(parameters);
  ddr4.restart(seed);
  std::array<std::deque<size_t>, 2 * Ddr4::kPorts> pending;
  size_t next = 0, done = 0;
  for (uint64_t cycle = 0; done < count; ++cycle) {
    ddr4.advance(cycle);
    for (int port = 0; port < Ddr4::kPorts; ++port) {
      auto& reads = pending[size_t(port)];
      auto& writes = pending[size_t(port + Ddr4::kPorts)];
      for (; !reads.empty() && ddr4.read_ready(port); reads.pop_front(), ++done) {
        answers[reads.front()] = cycle;
        ddr4.drop_read(port);
      }
      for (; !writes.empty() && ddr4.writes_done(port, 1); writes.pop_front(), ++done) {
        answers[writes.front()] = cycle;
        ddr4.drop_writes(port, 1);
      }
    }
    for (; next < count && accesses[next].cycle <= cycle; ++next) {
      const Access& access = accesses[next];
      pending[size_t(access.port + (access.write ? Ddr4::kPorts : 0))].push_back(next);
      if (access.write) {
        ddr4.write(int(access.port), access.address);
      } else {
        ddr4.read(int(access.port), access.address);
      }
    }
  }
}

extern "C" const char* ddr4_names() {
#define DDR4_FIELD(name) #name " "
  return DDR4_PARAMETERS(DDR4_FIELD);
#undef DDR4_FIELD
}
