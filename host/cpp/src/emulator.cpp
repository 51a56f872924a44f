// The emulator behind the accelerator's registers: its C++ (hls/hardware/cpp, in every build as cpp/), compiled as a shared library.
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "moesaic/moesaic.hpp"
#include "tables.hpp"

namespace moesaic {
namespace {

constexpr std::uint64_t kPhysicalAddress = 0x8'4000'0000;  // above 4 GiB, as memory on a board may be
constexpr std::size_t kUnits = tables::UNIT_NAMES.size();

class Memory : public DmaBuffer {
 public:
  explicit Memory(std::size_t bytes) : storage_(bytes + tables::WINDOW_ALIGNMENT), bytes_(bytes) {
    const auto address = reinterpret_cast<std::uintptr_t>(storage_.data());
    data_ = storage_.data() + (tables::WINDOW_ALIGNMENT - address % tables::WINDOW_ALIGNMENT) % tables::WINDOW_ALIGNMENT;
  }

  std::uint8_t* data() override { return data_; }
  std::size_t size() const override { return bytes_; }
  std::uint64_t physical_address() const override { return kPhysicalAddress; }
  void sync_for_device(std::size_t, std::size_t) override {}
  void sync_for_cpu(std::size_t, std::size_t) override {}

 private:
  std::vector<std::uint8_t> storage_;
  std::size_t bytes_;
  std::uint8_t* data_;
};

class EmulatedRegisters : public Registers {
 public:
  EmulatedRegisters(const std::string& path, Memory& memory) : memory_(memory), library_(::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) {
      const char* reason = ::dlerror();
      throw Error("emulator " + path + " cannot be loaded (" + (reason != nullptr ? reason : "no reason") +
                  "); compile it from BUILD/cpp/emulator.cpp");
    }
    const std::uint64_t fingerprint = function<std::uint64_t (*)()>("moesaic_fingerprint", path)();
    run_ = function<Run>("moesaic_run", path);
    destroy_ = function<void (*)(void*)>("moesaic_destroy", path);
    machine_ = function<void* (*)(std::uint64_t)>("moesaic_create", path)(0);
    if (machine_ == nullptr) throw Error("emulator " + path + ": not enough memory; close other programs");
    at(tables::REG_FINGERPRINT_LOW) = std::uint32_t(fingerprint);
    at(tables::REG_FINGERPRINT_HIGH) = std::uint32_t(fingerprint >> 32);
  }
  EmulatedRegisters(const EmulatedRegisters&) = delete;
  EmulatedRegisters& operator=(const EmulatedRegisters&) = delete;
  ~EmulatedRegisters() override {
    if (machine_ != nullptr) destroy_(machine_);
    if (library_ != nullptr) ::dlclose(library_);
  }

  std::uint32_t read(std::uint32_t offset) override { return registers_.at(offset / 4); }

  void write(std::uint32_t offset, std::uint32_t value) override {
    const auto* found = std::find_if(tables::REGISTERS.begin(), tables::REGISTERS.end(), [&](const auto& r) { return r.offset == offset; });
    if (found == tables::REGISTERS.end() || found->access == "ro") return;
    if (offset == tables::REG_CONTROL) {
      if ((value & tables::CONTROL_START) != 0) run();
    } else if (found->access == "w1c") {
      at(offset) &= ~value;
    } else {
      at(offset) = value;
    }
  }

 private:
  using Run = void (*)(void*, const std::uint8_t*, std::uint32_t, std::uint8_t*, std::uint32_t, std::uint32_t, std::uint32_t, std::uint64_t*,
                       std::uint32_t*);

  template <typename Function>
  Function function(const char* name, const std::string& path) {
    void* symbol = ::dlsym(library_, name);
    if (symbol == nullptr) throw Error("emulator " + path + " has no function " + name + "; compile it from BUILD/cpp/emulator.cpp");
    Function out;
    std::memcpy(&out, &symbol, sizeof out);
    return out;
  }

  std::uint32_t& at(std::uint32_t offset) { return registers_[offset / 4]; }

  // Where a window lies in this process, null if not all of it is memory.
  std::uint8_t* window(std::uint32_t low, std::uint32_t high, std::uint32_t size) {
    const std::uint64_t base = std::uint64_t(at(high)) << 32 | at(low);
    if (base < kPhysicalAddress || base - kPhysicalAddress > memory_.size()) return nullptr;
    const std::uint64_t start = base - kPhysicalAddress;
    return at(size) <= memory_.size() - start ? memory_.data() + start : nullptr;
  }

  // A run takes no time by the registers: it has ended when the write that starts it returns.
  void run() {
    for (std::size_t i = 0; i < tables::COUNTER_NAMES.size(); i++) registers_[tables::COUNTER_BASE / 4 + i] = 0;
    const std::uint8_t* constants = window(tables::REG_CONSTANT_BASE_LOW, tables::REG_CONSTANT_BASE_HIGH, tables::REG_CONSTANT_SIZE);
    std::uint8_t* frame = window(tables::REG_FRAME_BASE_LOW, tables::REG_FRAME_BASE_HIGH, tables::REG_FRAME_SIZE);
    std::array<std::uint64_t, 3 + tables::EMULATOR_COUNTER_NAMES.size()> result = {tables::FAULT_CAUSE_AXI_READ, kUnits};
    std::array<std::uint32_t, 2 * kUnits + 1> waiting = {};
    if (constants != nullptr && frame != nullptr) {
      run_(machine_, constants, at(tables::REG_CONSTANT_SIZE), frame, at(tables::REG_FRAME_SIZE), at(tables::REG_PROGRAM_OFFSET),
           at(tables::REG_PROGRAM_SIZE), result.data(), waiting.data());
    }
    const bool faulted = result[0] != tables::FAULT_CAUSE_NONE;
    at(tables::REG_FAULT) = std::uint32_t(result[0]);
    at(tables::REG_FAULT_UNIT) = faulted ? std::uint32_t(result[1]) : 0;
    at(tables::REG_FAULT_TAG) = faulted ? std::uint32_t(result[2]) : 0;
    for (std::size_t i = 0; i < tables::EMULATOR_COUNTER_NAMES.size(); i++) {
      const auto* name = std::find(tables::COUNTER_NAMES.begin(), tables::COUNTER_NAMES.end(), tables::EMULATOR_COUNTER_NAMES[i]);
      registers_[tables::COUNTER_BASE / 4 + std::size_t(name - tables::COUNTER_NAMES.begin())] = std::uint32_t(result[3 + i]);
    }
    at(tables::REG_STATUS) = tables::STATUS_DONE | (faulted ? tables::STATUS_FAULT : 0);
    at(tables::REG_INTERRUPT_STATUS) |= tables::INTERRUPT_STATUS_DONE;
  }

  Memory& memory_;
  void* library_;
  void* machine_ = nullptr;
  Run run_ = nullptr;
  void (*destroy_)(void*) = nullptr;
  std::array<std::uint32_t, tables::REGISTER_FILE_BYTES / 4> registers_ = {};
};

}  // namespace

Device open_emulator(const std::string& library, std::size_t memory_bytes) {
  Device device;
  device.name = library;
  auto memory = std::make_unique<Memory>(memory_bytes);
  device.registers = std::make_unique<EmulatedRegisters>(library, *memory);
  device.memory = std::move(memory);
  return device;
}

}  // namespace moesaic
