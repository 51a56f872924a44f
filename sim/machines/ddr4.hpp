// Timing of a DDR4 SDRAM behind the memory controller of a Zynq UltraScale+ processing system. Content is kept elsewhere.
//
// One rank, open rows. A controller clock is two memory clocks, and takes at most one column command (RD, WR) and one row command
// (ACT, PRE). Requests are BL8 bursts of 64 bytes. They wait at their port until the arbiter, which takes one per clock, in turns among
// all reads and writes of all ports, has a free entry for them. Among the entries, commands go out of order: of those that may be issued
// now, the oldest whose row is open; a row is closed once no entry of the present direction wants it. Reads come before writes, except
// that a direction that has starved, or whose rival has nothing left, gets its turn. Refresh closes all rows.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

// Everything that is a number about memory and controller; moesaic.sim.machines.ddr4 gives values and sources. Times are in controller
// clocks unless their name says cycles, which are the accelerator's: in `cycles` of those pass `clocks` of the controller's.
#define DDR4_PARAMETERS(FIELD)                                                                                               \
  FIELD(clocks) FIELD(cycles) FIELD(request_cycles) FIELD(response_cycles)                                                   \
  FIELD(rcd) FIELD(rp) FIELD(ras) FIELD(rc) FIELD(rrd_s) FIELD(rrd_l) FIELD(faw) FIELD(ccd_s) FIELD(ccd_l)                   \
  FIELD(read_to_write) FIELD(write_to_read_s) FIELD(write_to_read_l) FIELD(read_to_precharge) FIELD(write_to_precharge)      \
  FIELD(read_data) FIELD(rfc) FIELD(refi)                                                                                    \
  FIELD(read_entries) FIELD(write_entries) FIELD(reorder_entries) FIELD(write_buffer)                                        \
  FIELD(run_length) FIELD(starvation) FIELD(idle_gap)

struct Ddr4Parameters {
#define DDR4_FIELD(name) int64_t name = 0;
  DDR4_PARAMETERS(DDR4_FIELD)
#undef DDR4_FIELD
};

class Ddr4 {
 public:
  static constexpr int kPorts = 5;
  static constexpr uint64_t kRequestBytes = 64;

  void configure(const Ddr4Parameters& parameters);

  // Begin at cycle 0 with nothing in flight and all rows closed. seed: when the first refresh is due.
  void restart(uint64_t seed);

  // Let time pass until this cycle begins. Requests and answers are those of the present cycle.
  void advance(uint64_t cycle);

  // Read, or write, the 64 bytes around an address.
  void read(int port, uint64_t address);
  void write(int port, uint64_t address);

  // Whether the data of the port's oldest read are there; drop_read() ends that read.
  bool read_ready(int port) const;
  void drop_read(int port);

  // Whether the port takes another write, and whether its oldest `count` writes are done; drop_writes() forgets them.
  bool write_room(int port) const;
  bool writes_done(int port, size_t count) const;
  void drop_writes(int port, size_t count);

 private:
  // Address bits as the board support of AMD maps them: six within a request, one of the bank group, seven of the column, two of the
  // bank, the rest of the row.
  static constexpr int kGroupShift = 6, kBankShift = 14, kRowShift = 16, kRowBits = 15;
  static constexpr int kGroups = 2, kBanks = 8;

  struct Entry {
    uint32_t row;
    uint8_t bank, group;
    uint8_t port;
    uint64_t number;  // of the request among its port's reads or writes
    uint64_t arrival;  // clock
  };

  struct Bank {
    bool open = false;
    uint32_t row = 0;
    uint64_t activate = 0, column = 0, precharge = 0;  // earliest clock of the next such command
  };

  // One direction of a port: requests on the way to the arbiter, and for each request not dropped yet, in order, the first cycle in
  // which its answer can be seen.
  struct Queue {
    std::deque<Entry> waiting;
    std::deque<uint64_t> answers;
    uint64_t dropped = 0;
    size_t taken = 0;  // of `answers`, those that the arbiter has taken
  };

  // One direction of the controller.
  struct Store {
    std::vector<Entry> entries;  // oldest first
    uint64_t next = 0;  // earliest clock of the next column command
    std::array<uint64_t, kGroups> next_in_group{};
    int64_t starved = 0;  // clocks since the last column command, while there are entries
    int64_t empty = 0;    // clocks without entries
  };

  static constexpr uint64_t kNever = ~uint64_t(0);

  void request(bool write, int port, uint64_t address);
  void tick();
  void accept();
  void refresh();
  void choose_direction();
  void issue_column();
  void issue_row();
  void activate(const Entry& entry);
  uint64_t cycle_of(uint64_t clock) const;

  Ddr4Parameters p_;
  uint64_t cycle_ = 0, clock_ = 0;
  std::array<Bank, kBanks> banks_;
  std::array<std::array<Queue, kPorts>, 2> queues_;  // by direction: 0 reads, 1 writes
  std::array<Store, 2> stores_;
  std::array<uint64_t, 4> activations_{};  // clocks of the last four, plus one; the oldest is at activation_
  size_t activation_ = 0;
  uint64_t next_activate_ = 0;
  std::array<uint64_t, kGroups> next_activate_in_group_{};
  uint64_t refresh_due_ = 0, blocked_ = 0;  // no command before clock blocked_
  int direction_ = 0;
  int64_t run_ = 0;  // column commands since the direction changed
  int turn_ = 0;     // of the arbiter
  size_t in_flight_ = 0;  // requests that have not been issued as commands
};
