// A DRAM behind AXI4 ports, for whole frames: dram.sv calls dram_cycle once per clock cycle and port, in ascending order.
//
// Timing: the first beat of a read is offered `latency` cycles after its address was taken, later bursts queue behind it;
// each port moves at most one 16-byte beat per cycle on average, reads and writes together, and all ports together at
// most the rate of a token bucket in 1/65536 bytes; read data goes to the port that was served least recently. Order:
// reads take their data when the address is taken and writes land when their response is offered, the earliest and the
// latest moment that AXI allows, so a master that does not wait for the response before it reads back gets old data.
// Addresses outside the mapped windows answer DECERR; nothing wraps.
//
// In random mode every order that AXI allows occurs, in phases: ready before valid or only after it, data after their address or before
// it, answers that are late. A port uses one ID, so its bursts are answered in order; those of several ports interleave.
//
// Behind dram_set_ddr4, timing is that of ddr4.hpp instead. Reads and writes of a port then do not share its rate, but ports that lead
// to the same port of the processing system share one beat of read data per cycle.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "ddr4.hpp"
#include "svdpi.h"

namespace {

constexpr int kPorts = 5;  // four of the load unit and the main port
constexpr int kWindows = 2;
constexpr uint64_t kBeatBytes = 16;
constexpr int64_t kOneByte = 65536;  // token bucket units
constexpr uint64_t kRequestBeats = Ddr4::kRequestBytes / kBeatBytes;
constexpr size_t kReadsOutstanding = 16;
constexpr size_t kWritesOutstanding = 16;
constexpr size_t kBeatsAhead = 32;  // most that are taken before their address

enum Response : uint8_t { kOkay = 0, kSlaveError = 2, kDecodeError = 3 };

// What dram_cycle returns; dram.sv stops the simulation on anything but kFine.
enum Violation : int { kFine = 0, kLastTooEarly = 1, kLastMissing = 2 };

struct Window {
  uint64_t base = 0;
  uint64_t bytes = 0;
  uint8_t* data = nullptr;
  size_t mapped = 0;
};

struct Beat {
  std::array<uint8_t, kBeatBytes> data;
  uint64_t address;
  uint16_t strobe;
  Response response;
};

struct Burst {
  uint64_t address;  // of the first beat
  uint32_t beats;
  uint64_t due;  // cycle
  Response response;
  std::vector<Beat> data;
  size_t done;
};

class Random {
 public:
  void seed(uint64_t value) { state_ = value; }
  uint64_t next() {  // splitmix64
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  uint64_t below(uint64_t bound) { return next() % bound; }

 private:
  uint64_t state_ = 0;
};

// Pauses of one channel, in phases of 1 to 64 cycles from full speed to nearly stopped.
class Pauses {
 public:
  bool pause(Random& random) {
    if (left_ == 0) {
      static constexpr uint32_t kPercent[] = {0, 0, 25, 50, 90};
      left_ = 1 + random.below(64);
      percent_ = kPercent[random.below(5)];
    }
    --left_;
    return random.below(100) < percent_;
  }

 private:
  uint64_t left_ = 0;
  uint32_t percent_ = 0;
};

// A choice between two orders, in phases of 1 to 64 cycles.
class Order {
 public:
  bool draw(Random& random) {
    if (left_ == 0) {
      left_ = 1 + random.below(64);
      value_ = random.below(2) != 0;
    }
    --left_;
    return value_;
  }

 private:
  uint64_t left_ = 0;
  bool value_ = false;
};

struct Outputs {
  bool ar_ready = false, r_valid = false, r_last = false;
  bool aw_ready = false, w_ready = false, b_valid = false;
  Response r_response = kOkay, b_response = kOkay;
  std::array<uint8_t, kBeatBytes> r_data{};
};

struct Port {
  uint64_t cycle = 0;
  uint64_t served = 0;   // cycle of the last read beat
  uint64_t starved = 0;  // last cycle in which a read beat had to wait for the rate of all ports
  int64_t tokens = 0;
  std::deque<Burst> reads, writes, responses;
  std::deque<Beat> ahead;  // written data whose address is still to come; `last` is their wlast
  std::deque<bool> ahead_last;
  Outputs out;
  Random random;
  Pauses ar_pauses, r_pauses, aw_pauses, w_pauses, b_pauses;
  Order ar_waits, aw_waits, w_waits, data_first;
  uint64_t bytes_read = 0, bytes_written = 0;
};

std::array<Window, kWindows> windows;
std::array<Port, kPorts> ports;
uint32_t latency = 60;
int64_t total_rate = 128 * kOneByte / 3;  // 42.67 bytes per cycle: 12.8 GB/s at 300 MHz
int64_t total_tokens = 0;
uint64_t total_cycle = 0;
bool random_mode = false;
bool ddr4_mode = false;
Ddr4 ddr4;
uint64_t ddr4_seed = 0;
uint64_t ddr4_begin = 0;                           // cycle 0 of the DDR4
std::array<int, kPorts> channels{0, 1, 2, 3, 4};  // port of the processing system that a port leads to
bool error_armed = false;

enum Channel : int { kAr = 0, kR = 1, kAw = 2, kW = 3, kB = 4 };
int silent_port = -1, silent_channel = kAr;

bool silent(int port, Channel channel) { return port == silent_port && channel == silent_channel; }

uint64_t error_address = 0;

uint8_t* locate(uint64_t address) {
  for (const Window& window : windows) {
    if (address >= window.base && address - window.base + kBeatBytes <= window.bytes) {
      return window.data + (address - window.base);
    }
  }
  return nullptr;
}

Response respond(uint64_t address, const uint8_t* data) {
  if (error_armed && (error_address & ~(kBeatBytes - 1)) == address) return kSlaveError;
  return data == nullptr ? kDecodeError : kOkay;
}

uint64_t due_after(Port& port) {
  if (!random_mode) return port.cycle + latency - 1;
  const uint64_t spread = port.random.below(16) == 0 ? 8 * latency : 2 * latency;
  return port.cycle + port.random.below(spread + 1);
}

// Pauses happen in random mode only; the draw is skipped otherwise so that both modes stay reproducible.
bool paused(Port& port, Pauses& pauses) { return random_mode && pauses.pause(port.random); }

bool drawn(Port& port, Order& order) { return random_mode && order.draw(port.random); }

int index_of(const Port& port) { return int(&port - ports.data()); }

// Whether a beat is the last of its burst or of a request to the DDR4.
bool ends_request(const Burst& burst, size_t beat) {
  return beat + 1 == burst.beats || (burst.address / kBeatBytes + beat + 1) % kRequestBeats == 0;
}

size_t requests_of(const Burst& burst) {
  const uint64_t first = burst.address / kBeatBytes;
  return size_t((first + burst.beats - 1) / kRequestBeats - first / kRequestBeats + 1);
}

void restart_ddr4() {
  if (!ddr4_mode) return;
  ddr4_begin = total_cycle;
  ddr4.restart(ddr4_seed);
}

void take_read_address(Port& port, uint64_t address, uint32_t length) {
  Burst burst{address & ~(kBeatBytes - 1), length + 1, due_after(port), kOkay, {}, 0};
  burst.data.resize(burst.beats);
  for (uint32_t index = 0; index < burst.beats; ++index) {
    Beat& beat = burst.data[index];
    beat.address = burst.address + index * kBeatBytes;
    const uint8_t* source = locate(beat.address);
    beat.response = respond(beat.address, source);
    if (beat.response == kOkay) {
      std::memcpy(beat.data.data(), source, kBeatBytes);
    } else {
      beat.data.fill(0xee);
    }
    if (ddr4_mode && ends_request(burst, index)) ddr4.read(index_of(port), beat.address);
  }
  port.reads.push_back(std::move(burst));
}

// Gives the oldest beat without an address the place that the oldest burst has for it.
Violation place_write_beat(Port& port) {
  Burst& burst = port.writes.front();
  Beat beat = port.ahead.front();
  const bool last = port.ahead_last.front();
  port.ahead.pop_front();
  port.ahead_last.pop_front();
  beat.address = burst.address + burst.data.size() * kBeatBytes;
  beat.response = respond(beat.address, locate(beat.address));
  burst.response = std::max(burst.response, beat.response);
  burst.data.push_back(beat);
  if (ddr4_mode && ends_request(burst, burst.data.size() - 1)) ddr4.write(index_of(port), beat.address);
  if (last && burst.data.size() < burst.beats) return kLastTooEarly;
  if (burst.data.size() == burst.beats) {
    if (!last) return kLastMissing;
    burst.due = due_after(port);
    port.responses.push_back(std::move(burst));
    port.writes.pop_front();
  }
  return kFine;
}

void land(const Burst& burst) {
  for (const Beat& beat : burst.data) {
    if (beat.response != kOkay) continue;
    uint8_t* target = locate(beat.address);
    for (uint64_t byte = 0; byte < kBeatBytes; ++byte) {
      if (beat.strobe >> byte & 1) target[byte] = beat.data[byte];
    }
  }
}

void refill(Port& port) {
  if (port.cycle > total_cycle) {
    total_cycle = port.cycle;
    total_tokens = std::min(total_tokens + total_rate, total_rate + 2 * int64_t(kBeatBytes) * kOneByte);
    if (ddr4_mode) ddr4.advance(total_cycle - ddr4_begin);
  }
  port.tokens = std::min<int64_t>(port.tokens + kBeatBytes * kOneByte, kBeatBytes * kOneByte);
}

// Order of service: least recently served first; of those served in the same cycle, the one that starved last.
bool goes_before(const Port& one, const Port& other) {
  if (one.served != other.served) return one.served < other.served;
  if (one.starved != other.starved) return one.starved > other.starved;
  return &one < &other;
}

// Whether the data of the next beat are there, and no port that shares the way out has had its turn or is to have it before this one.
bool may_read_ddr4(const Port& port) {
  const int index = index_of(port);
  if (!ddr4.read_ready(index)) return false;
  for (const Port& other : ports) {
    const int rival = index_of(other);
    if (rival == index || channels[size_t(rival)] != channels[size_t(index)]) continue;
    if (other.served == port.cycle) return false;
    const bool waits = other.cycle != port.cycle && !other.out.r_valid && ddr4.read_ready(rival);
    if (waits && goes_before(other, port)) return false;
  }
  return true;
}

// Whether the bucket holds a beat for this port after one for each port that is to be served before it in this cycle.
bool may_read(const Port& port) {
  if (ddr4_mode) return may_read_ddr4(port);
  int64_t needed = int64_t(kBeatBytes) * kOneByte;
  for (const Port& other : ports) {
    const bool waits = other.cycle != port.cycle && !other.reads.empty() && port.cycle >= other.reads.front().due;
    if (waits && goes_before(other, port)) needed += int64_t(kBeatBytes) * kOneByte;
  }
  return port.tokens >= int64_t(kBeatBytes) * kOneByte && total_tokens >= needed;
}

bool read_is_due(const Port& port) { return ddr4_mode || port.cycle >= port.reads.front().due; }

bool may_write(const Port& port) {
  return ddr4_mode ? ddr4.write_room(index_of(port)) : port.tokens >= 0 && total_tokens >= 0;
}

bool is_written(const Port& port) {
  const Burst& burst = port.responses.front();
  return ddr4_mode ? ddr4.writes_done(index_of(port), requests_of(burst)) : port.cycle >= burst.due;
}

void spend(Port& port) {
  if (ddr4_mode) return;
  port.tokens -= kBeatBytes * kOneByte;
  total_tokens -= kBeatBytes * kOneByte;
}

}  // namespace

extern "C" {

// Map a file as a window; the file and the window share memory. An earlier mapping of the window is dropped.
// base, bytes: multiples of 16. Returns 0 or an errno. Ports are then served as if none had been: what a run costs does
// not depend on the run before.
int dram_map(int index, uint64_t base, uint64_t bytes, const char* path) {
  if (index < 0 || index >= kWindows || base % kBeatBytes || bytes % kBeatBytes) return EINVAL;
  Window& window = windows[index];
  if (window.data != nullptr) munmap(window.data, window.mapped);
  window = Window{};
  for (Port& port : ports) port.served = port.starved = 0;
  restart_ddr4();
  if (bytes == 0) return 0;
  const int file = open(path, O_RDWR);
  if (file < 0) return errno;
  struct stat status;
  if (fstat(file, &status) != 0 || uint64_t(status.st_size) < bytes) {
    close(file);
    return EINVAL;
  }
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (data == MAP_FAILED) return errno;
  window = Window{base, bytes, static_cast<uint8_t*>(data), size_t(bytes)};
  return 0;
}

// cycles from address to first beat (at least 1); rate of all ports together in 1/65536 bytes per cycle.
void dram_set_timing(uint32_t cycles, uint64_t rate) {
  latency = std::max<uint32_t>(cycles, 1);
  total_rate = int64_t(rate);
}

// Names of the parameters of a DDR4, in the order in which dram_set_ddr4 takes their values, each followed by a space.
const char* dram_ddr4_parameters() {
#define DDR4_FIELD(name) #name " "
  return DDR4_PARAMETERS(DDR4_FIELD);
#undef DDR4_FIELD
}

// Time everything by a DDR4. shared: for each port, the number of the port of the processing system that it leads to. seed: when the
// first refresh of a run is due. Call it before the first transaction.
void dram_set_ddr4(const int64_t* values, const int* shared, uint64_t seed) {
  Ddr4Parameters parameters;
#define DDR4_FIELD(name) parameters.name = *values++;
  DDR4_PARAMETERS(DDR4_FIELD)
#undef DDR4_FIELD
  ddr4.configure(parameters);
  std::copy(shared, shared + kPorts, channels.begin());
  ddr4_seed = seed;
  ddr4_mode = true;
  restart_ddr4();
}

// Random latencies and pauses on all channels; enabled 0 returns to the fixed timing.
void dram_set_random(int enabled, uint64_t seed) {
  random_mode = enabled != 0;
  for (int index = 0; index < kPorts; ++index) ports[index].random.seed(seed * kPorts + uint64_t(index));
}

// From now on the port (-1: none) takes part in no further handshake on a channel: 0 AR, 1 R, 2 AW, 3 W, 4 B.
void dram_set_silent(int port, int channel) {
  silent_port = port;
  silent_channel = channel;
}

// Answer SLVERR on the beat that holds this address, for reads and writes, until switched off.
void dram_set_error(int armed, uint64_t address) {
  error_armed = armed != 0;
  error_address = address;
}

uint64_t dram_bytes_read(int port) { return ports.at(port).bytes_read; }
uint64_t dram_bytes_written(int port) { return ports.at(port).bytes_written; }

int dram_cycle(int index, svBit reset_n, svBit ar_valid, uint64_t ar_address, uint32_t ar_length, svBit r_ready,
               svBit aw_valid, uint64_t aw_address, uint32_t aw_length, svBit w_valid, const svBitVecVal* w_data,
               uint32_t w_strobe, svBit w_last, svBit b_ready, svBit* ar_ready, svBit* r_valid, svBitVecVal* r_data,
               svBitVecVal* r_response, svBit* r_last, svBit* aw_ready, svBit* w_ready, svBit* b_valid,
               svBitVecVal* b_response) {
  Port& port = ports.at(index);
  Outputs& out = port.out;
  ++port.cycle;
  refill(port);
  Violation violation = kFine;
  if (!reset_n) {
    port.reads.clear();
    port.writes.clear();
    port.responses.clear();
    port.ahead.clear();
    port.ahead_last.clear();
    restart_ddr4();
    out = Outputs{};
  } else {
    // What happened in the cycle that ends now.
    if (ar_valid && out.ar_ready) take_read_address(port, ar_address, ar_length);
    if (w_valid && out.w_ready) {
      spend(port);
      port.bytes_written += kBeatBytes;
      Beat beat{};
      std::memcpy(beat.data.data(), w_data, kBeatBytes);
      beat.strobe = uint16_t(w_strobe);
      port.ahead.push_back(beat);
      port.ahead_last.push_back(w_last);
    }
    while (violation == kFine && !port.writes.empty() && !port.ahead.empty()) violation = place_write_beat(port);
    if (aw_valid && out.aw_ready) {
      port.writes.push_back(Burst{aw_address & ~(kBeatBytes - 1), aw_length + 1, 0, kOkay, {}, 0});
      while (violation == kFine && !port.writes.empty() && !port.ahead.empty()) violation = place_write_beat(port);
    }
    if (r_ready) out.r_valid = false;
    if (b_ready) out.b_valid = false;

    // What is offered in the cycle that begins.
    bool read_starved = false;
    if (!out.r_valid && !port.reads.empty() && read_is_due(port) && !paused(port, port.r_pauses) && !silent(index, kR)) {
      if (may_read(port)) {
        spend(port);
        port.served = port.cycle;
        port.bytes_read += kBeatBytes;
        Burst& burst = port.reads.front();
        if (ddr4_mode && ends_request(burst, burst.done)) ddr4.drop_read(index);
        const Beat& beat = burst.data[burst.done++];
        out.r_valid = true;
        out.r_data = beat.data;
        out.r_response = beat.response;
        out.r_last = burst.done == burst.beats;
        if (out.r_last) port.reads.pop_front();
      } else {
        read_starved = true;
        port.starved = port.cycle;
      }
    }
    if (!out.b_valid && !port.responses.empty() && is_written(port) && !paused(port, port.b_pauses) && !silent(index, kB)) {
      if (ddr4_mode) ddr4.drop_writes(index, requests_of(port.responses.front()));
      land(port.responses.front());
      out.b_valid = true;
      out.b_response = port.responses.front().response;
      port.responses.pop_front();
    }
    // What was offered in the cycle that ends and not taken is on offer still.
    const bool ar_offered = ar_valid && !out.ar_ready, aw_offered = aw_valid && !out.aw_ready, w_offered = w_valid && !out.w_ready;
    const bool data_first = drawn(port, port.data_first);
    out.ar_ready = port.reads.size() < kReadsOutstanding && !paused(port, port.ar_pauses) &&
                   (!drawn(port, port.ar_waits) || ar_offered);
    out.aw_ready = port.writes.size() + port.responses.size() < kWritesOutstanding && !paused(port, port.aw_pauses) &&
                   (!drawn(port, port.aw_waits) || aw_offered) && (!data_first || !port.ahead.empty());
    out.w_ready = (!port.writes.empty() || (data_first && port.ahead.size() < kBeatsAhead)) && may_write(port) &&
                  (ddr4_mode || !read_starved) && !paused(port, port.w_pauses) && (!drawn(port, port.w_waits) || w_offered);
    if (silent(index, kAr)) out.ar_ready = false;
    if (silent(index, kAw)) out.aw_ready = false;
    if (silent(index, kW)) out.w_ready = false;
  }
  *ar_ready = out.ar_ready;
  *r_valid = out.r_valid;
  std::memcpy(r_data, out.r_data.data(), kBeatBytes);
  *r_response = out.r_response;
  *r_last = out.r_last;
  *aw_ready = out.aw_ready;
  *w_ready = out.w_ready;
  *b_valid = out.b_valid;
  *b_response = out.b_response;
  return violation;
}

}  // extern "C"
