#include "ddr4.hpp"

#include <algorithm>

void Ddr4::configure(const Ddr4Parameters& parameters) { p_ = parameters; }

void Ddr4::restart(uint64_t seed) {
  const Ddr4Parameters parameters = p_;
  *this = Ddr4{};
  p_ = parameters;
  seed = (seed + 1) * 0x9e3779b97f4a7c15ull;
  refresh_due_ = 1 + (seed ^ (seed >> 29)) % uint64_t(p_.refi);
}

void Ddr4::advance(uint64_t cycle) {
  cycle_ = cycle;
  const uint64_t end = cycle * uint64_t(p_.clocks) / uint64_t(p_.cycles);
  while (clock_ < end) {
    if (in_flight_ == 0) {  // nothing but refresh can happen
      if (clock_ >= refresh_due_) refresh();
      const uint64_t quiet = std::min(end, refresh_due_) - clock_;
      for (Store& store : stores_) {
        store.empty += int64_t(quiet);
        store.starved = 0;
      }
      clock_ += quiet;
    } else {
      tick();
      ++clock_;
    }
  }
}

void Ddr4::read(int port, uint64_t address) { request(false, port, address); }
void Ddr4::write(int port, uint64_t address) { request(true, port, address); }

void Ddr4::request(bool write, int port, uint64_t address) {
  Queue& queue = queues_[write][size_t(port)];
  const uint64_t cycle = cycle_ + uint64_t(p_.request_cycles);
  Entry entry{};
  entry.row = uint32_t(address >> kRowShift) & ((1u << kRowBits) - 1);
  entry.group = uint8_t(address >> kGroupShift & 1);
  entry.bank = uint8_t((address >> kBankShift & 3) * kGroups + entry.group);
  entry.port = uint8_t(port);
  entry.number = queue.dropped + queue.answers.size();
  entry.arrival = (cycle * uint64_t(p_.clocks) + uint64_t(p_.cycles) - 1) / uint64_t(p_.cycles);
  queue.waiting.push_back(entry);
  queue.answers.push_back(kNever);
  ++in_flight_;
}

bool Ddr4::read_ready(int port) const {
  const Queue& queue = queues_[0][size_t(port)];
  return !queue.answers.empty() && queue.answers.front() <= cycle_;
}

void Ddr4::drop_read(int port) {
  Queue& queue = queues_[0][size_t(port)];
  queue.answers.pop_front();
  ++queue.dropped;
  --queue.taken;
}

bool Ddr4::write_room(int port) const {
  return int64_t(queues_[1][size_t(port)].waiting.size()) < p_.write_buffer;
}

bool Ddr4::writes_done(int port, size_t count) const {
  const Queue& queue = queues_[1][size_t(port)];
  if (queue.answers.size() < count) return false;
  return std::all_of(queue.answers.begin(), queue.answers.begin() + ptrdiff_t(count),
                     [this](uint64_t answer) { return answer <= cycle_; });
}

void Ddr4::drop_writes(int port, size_t count) {
  Queue& queue = queues_[1][size_t(port)];
  queue.answers.erase(queue.answers.begin(), queue.answers.begin() + ptrdiff_t(count));
  queue.dropped += count;
  queue.taken -= count;
}

// The first cycle that begins at or after a controller clock.
uint64_t Ddr4::cycle_of(uint64_t clock) const {
  return (clock * uint64_t(p_.cycles) + uint64_t(p_.clocks) - 1) / uint64_t(p_.clocks);
}

void Ddr4::tick() {
  accept();
  if (clock_ >= refresh_due_ && clock_ >= blocked_) refresh();
  for (Store& store : stores_) {
    const bool empty = store.entries.empty();
    store.starved = empty ? 0 : store.starved + 1;
    store.empty = empty ? store.empty + 1 : 0;
  }
  if (clock_ < blocked_) return;
  choose_direction();
  issue_column();
  issue_row();
}

// The arbiter: one request per clock. A read needs an entry of the controller and one of its port's reorder buffer; a write is done, as
// far as its port is concerned, when it is taken.
void Ddr4::accept() {
  const int64_t limit[2] = {p_.read_entries, p_.write_entries};
  for (int step = 1; step <= 2 * kPorts; ++step) {
    const int number = (turn_ + step) % (2 * kPorts);
    const int direction = number / kPorts;
    Queue& queue = queues_[size_t(direction)][size_t(number % kPorts)];
    Store& store = stores_[size_t(direction)];
    if (queue.waiting.empty() || queue.waiting.front().arrival > clock_) continue;
    if (int64_t(store.entries.size()) >= limit[direction]) continue;
    if (direction == 0 && int64_t(queue.taken) >= p_.reorder_entries) continue;
    const Entry entry = queue.waiting.front();
    queue.waiting.pop_front();
    store.entries.push_back(entry);
    ++queue.taken;
    if (direction == 1) queue.answers[entry.number - queue.dropped] = cycle_of(clock_) + uint64_t(p_.response_cycles);
    turn_ = number;
    return;
  }
}

// Precharge all banks as soon as each may be, then refresh.
void Ddr4::refresh() {
  uint64_t close = clock_, start = clock_;
  bool any = false;
  for (const Bank& bank : banks_) {
    if (bank.open) {
      close = std::max(close, bank.precharge);
      any = true;
    } else {
      start = std::max(start, bank.activate);  // its precharge has to have ended
    }
  }
  if (any) start = std::max(start, close + uint64_t(p_.rp));
  blocked_ = start + uint64_t(p_.rfc);
  for (Bank& bank : banks_) {
    bank.open = false;
    bank.activate = blocked_;
  }
  refresh_due_ += uint64_t(p_.refi);
}

void Ddr4::choose_direction() {
  const Store& here = stores_[size_t(direction_)];
  const Store& there = stores_[size_t(1 - direction_)];
  if (there.entries.empty()) return;
  bool change = false;
  if (here.entries.empty()) {
    change = here.empty >= (direction_ == 0 ? p_.idle_gap : 0);
  } else if (run_ >= p_.run_length) {
    // Reads are preferred: writes give way after a run, reads only to writes that have starved.
    change = direction_ == 1 || there.starved >= p_.starvation;
  }
  if (change) {
    direction_ = 1 - direction_;
    run_ = 0;
  }
}

void Ddr4::issue_column() {
  Store& store = stores_[size_t(direction_)];
  if (clock_ < store.next) return;
  for (size_t index = 0; index < store.entries.size(); ++index) {
    const Entry entry = store.entries[index];
    Bank& bank = banks_[entry.bank];
    if (!bank.open || bank.row != entry.row || clock_ < bank.column || clock_ < store.next_in_group[entry.group]) continue;
    Store& other = stores_[size_t(1 - direction_)];
    store.next = clock_ + uint64_t(p_.ccd_s);
    store.next_in_group[entry.group] = clock_ + uint64_t(p_.ccd_l);
    if (direction_ == 0) {
      other.next = std::max(other.next, clock_ + uint64_t(p_.read_to_write));
      bank.precharge = std::max(bank.precharge, clock_ + uint64_t(p_.read_to_precharge));
      Queue& queue = queues_[0][entry.port];
      queue.answers[entry.number - queue.dropped] =
          cycle_of(clock_ + uint64_t(p_.read_data)) + uint64_t(p_.response_cycles);
    } else {
      other.next = std::max(other.next, clock_ + uint64_t(p_.write_to_read_s));
      other.next_in_group[entry.group] =
          std::max(other.next_in_group[entry.group], clock_ + uint64_t(p_.write_to_read_l));
      bank.precharge = std::max(bank.precharge, clock_ + uint64_t(p_.write_to_precharge));
    }
    store.entries.erase(store.entries.begin() + ptrdiff_t(index));
    store.starved = 0;
    ++run_;
    --in_flight_;
    return;
  }
}

void Ddr4::issue_row() {
  const Store& store = stores_[size_t(direction_)];
  unsigned wanted = 0;  // banks whose open row an entry wants
  for (const Entry& entry : store.entries) {
    const Bank& bank = banks_[entry.bank];
    if (bank.open && bank.row == entry.row) wanted |= 1u << entry.bank;
  }
  for (const Entry& entry : store.entries) {
    if (wanted >> entry.bank & 1) continue;
    Bank& bank = banks_[entry.bank];
    if (bank.open) {
      if (clock_ < bank.precharge) continue;
      bank.open = false;
      bank.activate = std::max(bank.activate, clock_ + uint64_t(p_.rp));
      return;
    }
    // Of the last four activations, the oldest has to be tFAW ago.
    const uint64_t oldest = activations_[activation_];
    if (clock_ < bank.activate || clock_ < next_activate_ || clock_ < next_activate_in_group_[entry.group] ||
        (oldest != 0 && clock_ < oldest - 1 + uint64_t(p_.faw))) {
      continue;
    }
    activate(entry);
    return;
  }
}

void Ddr4::activate(const Entry& entry) {
  Bank& bank = banks_[entry.bank];
  bank.open = true;
  bank.row = entry.row;
  bank.activate = clock_ + uint64_t(p_.rc);
  bank.column = clock_ + uint64_t(p_.rcd);
  bank.precharge = clock_ + uint64_t(p_.ras);
  next_activate_ = clock_ + uint64_t(p_.rrd_s);
  next_activate_in_group_[entry.group] = clock_ + uint64_t(p_.rrd_l);
  activations_[activation_] = clock_ + 1;
  activation_ = (activation_ + 1) % activations_.size();
}
