#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "moesaic/moesaic.hpp"
#include "tables.hpp"

namespace moesaic {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::microseconds kPoll{50};
constexpr std::chrono::milliseconds kGrace{100};              // in which a machine that was told to stop must be idle
constexpr std::chrono::milliseconds kInterruptSlice{1000};  // after which STATUS is read although no interrupt came

std::uint64_t aligned(std::uint64_t value) {
  return (value + tables::WINDOW_ALIGNMENT - 1) / tables::WINDOW_ALIGNMENT * tables::WINDOW_ALIGNMENT;
}

std::string hexadecimal(std::uint64_t value) {
  std::string out;
  for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[value >> shift & 15];
  return out;
}

// Takes threads one at a time, in the order in which they came.
class Queue {
 public:
  class Turn {
   public:
    explicit Turn(Queue& queue) : queue_(queue) {
      std::unique_lock lock(queue_.mutex_);
      const std::uint64_t own = queue_.next_++;
      queue_.changed_.wait(lock, [&] { return queue_.serving_ == own; });
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() {
      const std::lock_guard lock(queue_.mutex_);
      queue_.serving_++;
      queue_.changed_.notify_all();
    }

   private:
    Queue& queue_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t next_ = 0, serving_ = 0;
};

// For how many cycles each unit waited for a signal, as the counters of a run that took too long say.
std::string semaphore_stalls(const std::vector<Counter>& counters) {
  const auto value = [&](const std::string& name) {
    const auto found = std::find_if(counters.begin(), counters.end(), [&](const Counter& counter) { return counter.name == name; });
    return found == counters.end() ? 0 : found->value;
  };
  std::string parts;
  for (const std::string_view unit : tables::UNIT_NAMES) {
    const std::uint32_t cycles = value(std::string(unit) + "_semaphore_stall");
    if (cycles > 0) parts += (parts.empty() ? "" : ", ") + std::string(unit) + " " + std::to_string(cycles);
  }
  return parts.empty() ? "" : "of " + std::to_string(value("cycles")) + " cycles units waited for signals: " + parts;
}

}  // namespace

Fault::Fault(std::string task_, std::string layer_, std::string cause_, std::string unit_, std::uint32_t tag_, const std::string& detail)
    : Error("task " + task_ + ": the machine stopped: " + cause_ + " in the " + unit_ + " unit, instruction tag " +
            std::to_string(tag_) + " (" + layer_ + ")" + (detail.empty() ? "" : ": " + detail)),
      task(std::move(task_)),
      layer(std::move(layer_)),
      cause(std::move(cause_)),
      unit(std::move(unit_)),
      tag(tag_) {}

Options::Options() : max_cycles(tables::MAX_CYCLES) {}

class Accelerator::Implementation {
 public:
  Implementation(Build build, Device device, Options options)
      : build_(std::move(build)), device_(std::move(device)), options_(options) {
    if (device_.registers == nullptr || device_.memory == nullptr) {
      throw Error("device " + device_.name + " has no registers or no memory; it needs both");
    }
    check_fingerprint("generate the build for the configuration of that accelerator, or load the bitstream of the build");
    make_idle("device " + device_.name + " is still at an earlier program's run");
    place_windows();
    polled_ = device_.interrupt == nullptr;
    DmaBuffer& memory = *device_.memory;
    std::memcpy(memory.data() + constants_, build_.constants.data(), build_.constants.size());
    memory.sync_for_device(constants_, build_.constants.size());
    if (!polled_) polled_ = !device_.interrupt->arm();
  }

  ~Implementation() {
    try {
      write(tables::REG_INTERRUPT_ENABLE, 0);
    } catch (const std::exception&) {  // the device is gone
    }
  }

  const Build& build() const { return build_; }

  bool uses_interrupt() {
    const Queue::Turn turn(queue_);
    return !polled_;
  }

  Result run(const ImageView& image, std::string_view name) {
    Result result;
    result.task = build_.task(name);
    PreparedImage prepared = prepare(image, build_.input, build_.image);
    const std::vector<std::uint8_t> placed = build_.image_for_frame(prepared.pixels);
    {
      const Queue::Turn turn(queue_);
      await_memory();
      DmaBuffer& memory = *device_.memory;
      std::memcpy(memory.data() + frame_ + build_.image_offset, placed.data(), placed.size());
      memory.sync_for_device(frame_ + build_.image_offset, placed.size());
      const Task& task = result.task;
      const auto begin = Clock::now();
      compute(task);
      result.compute_time = Clock::now() - begin;
      result.counters = counters();
      memory.sync_for_cpu(frame_ + task.output_offset, std::size_t(2) * task.height * task.width * task.stored_channels);
      result.raw = build_.read_output(memory.data() + frame_, task);
    }
    result.image = std::move(prepared.pixels);
    result.placement = prepared.placement;
    result.prediction = decode(result.task, result.raw);
    return result;
  }

  std::vector<std::uint8_t> run_whole(const ImageView& image, std::string_view name, std::uint8_t pattern) {
    const Task& task = build_.task(name);
    const std::vector<std::uint8_t> placed = build_.image_for_frame(prepare(image, build_.input, build_.image).pixels);
    const Queue::Turn turn(queue_);
    await_memory();
    DmaBuffer& memory = *device_.memory;
    std::uint8_t* frame = memory.data() + frame_;
    std::memset(frame, pattern, build_.frame_bytes);
    std::memcpy(frame + build_.image_offset, placed.data(), placed.size());
    memory.sync_for_device(frame_, build_.frame_bytes);
    compute(task);
    memory.sync_for_cpu(frame_, build_.frame_bytes);
    return {frame, frame + build_.frame_bytes};
  }

 private:
  std::uint32_t read(std::uint32_t offset) { return device_.registers->read(offset); }
  void write(std::uint32_t offset, std::uint32_t value) { device_.registers->write(offset, value); }
  bool busy() { return (read(tables::REG_STATUS) & tables::STATUS_BUSY) != 0; }
  bool done() { return (read(tables::REG_STATUS) & tables::STATUS_DONE) != 0; }

  void check_fingerprint(const std::string& remedy) {
    const std::uint64_t high = read(tables::REG_FINGERPRINT_HIGH), low = read(tables::REG_FINGERPRINT_LOW);
    const std::string found = hexadecimal(high << 32 | low);
    if (found != build_.fingerprint) {
      throw Error("build " + build_.name + " has fingerprint " + build_.fingerprint + ", device " + device_.name + " has " + found + "; " +
                  remedy);
    }
  }

  // Stops what is running. Throws Error, which says what the matter is and what has to be done, if that fails.
  void make_idle(const std::string& matter) {
    if (!busy()) return;
    write(tables::REG_CONTROL, tables::CONTROL_STOP);
    const auto deadline = Clock::now() + kGrace;
    while (busy()) {
      if (Clock::now() > deadline) {
        throw Error(matter + " and has not stopped " + std::to_string(kGrace.count()) +
                    " ms after it was told to; load the bitstream again before this memory is used for anything else");
      }
      std::this_thread::sleep_for(kPoll);
    }
  }

  void place_windows() {
    const std::uint64_t physical = device_.memory->physical_address();
    constants_ = std::size_t(aligned(physical) - physical);
    frame_ = constants_ + std::size_t(aligned(build_.constants.size()));
    const std::size_t needed = frame_ + build_.frame_bytes;
    if (needed > device_.memory->size()) {
      throw Error("device " + device_.name + " has " + std::to_string(device_.memory->size()) + " bytes of contiguous memory, build " +
                  build_.name + " needs " + std::to_string(needed) + "; load u-dma-buf with that much");
    }
  }

  void write_window(std::uint32_t low, std::uint32_t high, std::uint32_t size, std::size_t offset, std::size_t bytes) {
    const std::uint64_t address = device_.memory->physical_address() + offset;
    write(low, std::uint32_t(address));
    write(high, std::uint32_t(address >> 32));
    write(size, std::uint32_t(bytes));
  }

  // Before the frame window is written: a run that could not be stopped may still be writing there.
  void await_memory() {
    check_fingerprint("the accelerator was replaced; open the build again");
    make_idle("device " + device_.name + " is still at the run before");
  }

  void compute(const Task& task) {
    write_window(tables::REG_CONSTANT_BASE_LOW, tables::REG_CONSTANT_BASE_HIGH, tables::REG_CONSTANT_SIZE, constants_,
                 build_.constants.size());
    write_window(tables::REG_FRAME_BASE_LOW, tables::REG_FRAME_BASE_HIGH, tables::REG_FRAME_SIZE, frame_, build_.frame_bytes);
    write(tables::REG_PROGRAM_OFFSET, task.program.offset);
    write(tables::REG_PROGRAM_SIZE, task.program.size);
    write(tables::REG_MAX_CYCLES, options_.max_cycles);
    write(tables::REG_INTERRUPT_STATUS, tables::INTERRUPT_STATUS_DONE);
    write(tables::REG_INTERRUPT_ENABLE, polled_ ? 0 : tables::INTERRUPT_ENABLE_DONE);
    // Only now: with an interrupt that is level-triggered, the last run's would come again.
    if (!polled_ && !device_.interrupt->arm()) stop_waiting_for_interrupts();
    bool ended = false;
    try {
      write(tables::REG_CONTROL, tables::CONTROL_START);
      ended = wait();
    } catch (...) {
      make_idle("device " + device_.name + " failed in the middle of a run");
      throw;
    }
    if (!ended) {
      make_idle("device " + device_.name + " has run task " + task.name + " for more than " + std::to_string(options_.timeout.count()) +
                " ms");
    }
    const std::uint32_t status = read(tables::REG_STATUS);
    write(tables::REG_INTERRUPT_STATUS, tables::INTERRUPT_STATUS_DONE);
    if ((status & tables::STATUS_FAULT) != 0) throw_fault(task);
    if (!ended || (status & tables::STATUS_STOPPED) != 0) {
      throw make_fault(task, tables::FAULT_CAUSE_TIMEOUT, std::uint32_t(tables::UNIT_NAMES.size()), 0,
                       "stopped after " + std::to_string(options_.timeout.count()) + " ms by the processor's clock");
    }
  }

  void stop_waiting_for_interrupts() {
    polled_ = true;
    write(tables::REG_INTERRUPT_ENABLE, 0);
  }

  // Whether the run ended in time.
  bool wait() {
    const auto deadline = Clock::now() + options_.timeout;
    while (!done()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
      if (left.count() <= 0) return false;
      if (polled_) {
        std::this_thread::sleep_for(kPoll);
      } else if (device_.interrupt->wait(std::min(left, kInterruptSlice))) {
        if (!done()) device_.interrupt->arm();  // an old one; the loop reads STATUS again, in case the new one came before that
      } else if (done()) {
        stop_waiting_for_interrupts();  // it got lost; the next one would too
      }
    }
    return true;
  }

  [[noreturn]] void throw_fault(const Task& task) {
    const std::uint32_t cause = read(tables::REG_FAULT), unit = read(tables::REG_FAULT_UNIT);
    if (cause >= tables::FAULT_NAMES.size() || unit >= tables::FAULT_UNIT_NAMES.size()) {
      throw Error("device " + device_.name + " reports fault " + std::to_string(cause) + " of unit " + std::to_string(unit) +
                  ", which do not exist; load the bitstream again");
    }
    const std::string detail = cause == tables::FAULT_CAUSE_TIMEOUT ? semaphore_stalls(counters()) : "";
    throw make_fault(task, cause, unit, read(tables::REG_FAULT_TAG), detail);
  }

  Fault make_fault(const Task& task, std::uint32_t cause, std::uint32_t unit, std::uint32_t tag, const std::string& detail) {
    const bool known = unit < tables::UNIT_NAMES.size() && tag < build_.tags.size();
    return {task.name,
            known ? build_.tags[tag] : "no layer",
            std::string(tables::FAULT_NAMES[cause]),
            std::string(tables::FAULT_UNIT_NAMES[unit]),
            tag,
            detail};
  }

  std::vector<Counter> counters() {
    std::vector<Counter> out;
    for (std::size_t i = 0; i < tables::COUNTER_NAMES.size(); i++) {
      out.push_back({tables::COUNTER_NAMES[i], read(tables::COUNTER_BASE + std::uint32_t(4 * i))});
    }
    return out;
  }

  const Build build_;
  Device device_;
  const Options options_;
  Queue queue_;
  bool polled_ = true;
  std::size_t constants_ = 0, frame_ = 0;  // the windows' offsets in the memory
};

Accelerator::Accelerator(Build build, Device device, Options options)
    : implementation_(std::make_unique<Implementation>(std::move(build), std::move(device), options)) {}
Accelerator::~Accelerator() = default;
Accelerator::Accelerator(Accelerator&&) noexcept = default;
Accelerator& Accelerator::operator=(Accelerator&&) noexcept = default;

const Build& Accelerator::build() const { return implementation_->build(); }
bool Accelerator::uses_interrupt() const { return implementation_->uses_interrupt(); }
Result Accelerator::run(const ImageView& image, std::string_view task) { return implementation_->run(image, task); }

std::vector<std::uint8_t> Accelerator::run_whole(const ImageView& image, std::string_view task, std::uint8_t pattern) {
  return implementation_->run_whole(image, task, pattern);
}

std::size_t Accelerator::memory_bytes(const Build& build) { return std::size_t(aligned(build.constants.size())) + build.frame_bytes; }

}  // namespace moesaic
