// The parts of a device on Linux: registers and interrupt of a UIO device, memory from u-dma-buf, and the lock.
#ifndef MOESAIC_UIO_HPP
#define MOESAIC_UIO_HPP

#include <string>

#include "file.hpp"
#include "moesaic/moesaic.hpp"

namespace moesaic {

// Registers in mapped memory.
class MappedRegisters : public Registers {
 public:
  // offset: bytes from the start of the mapping to the registers, less than a page.
  MappedRegisters(const File& file, std::size_t offset, const std::string& name);

  std::uint32_t read(std::uint32_t offset) override;
  void write(std::uint32_t offset, std::uint32_t value) override;

 private:
  Mapping mapping_;
  volatile std::uint32_t* registers_;
};

// The interrupt of a UIO device: writing 1 lets one through, which can then be read as the number of interrupts so far.
class UioInterrupt : public Interrupt {
 public:
  UioInterrupt(File file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}

  bool arm() override;
  bool wait(std::chrono::milliseconds longest) override;

 private:
  File file_;
  std::string name_;
};

// Memory of the kernel module u-dma-buf. Its cache is kept in step through sync_for_device and sync_for_cpu, unless the device tree
// says that the hardware does so (dma_coherent).
class UDmaBuffer : public DmaBuffer {
 public:
  // path: the device; attributes: its folder in /sys/class/u-dma-buf.
  UDmaBuffer(const std::string& path, const std::string& attributes);

  std::uint8_t* data() override { return static_cast<std::uint8_t*>(mapping_.address()); }
  std::size_t size() const override { return size_; }
  std::uint64_t physical_address() const override { return physical_address_; }
  void sync_for_device(std::size_t offset, std::size_t bytes) override;
  void sync_for_cpu(std::size_t offset, std::size_t bytes) override;

 private:
  void sync(const File& attribute, const char* name, std::size_t offset, std::size_t bytes);

  std::string attributes_;
  std::size_t size_;
  std::uint64_t physical_address_;
  bool coherent_;
  File sync_for_device_, sync_for_cpu_;
  Mapping mapping_;
};

// The file that the Python runtime locks: in /run/lock, or among temporary files where that is missing.
std::string default_lock_file();

// Keeps others from a device until the last copy of the result is gone; empty path: default_lock_file(). Throws Error, with
// the holder's process number, if it is taken.
std::shared_ptr<void> lock_device(const std::string& path);

}  // namespace moesaic

#endif
