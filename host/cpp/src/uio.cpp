#include "uio.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "tables.hpp"

namespace moesaic {
namespace {

constexpr const char* kUioRemedy =
    "load the bitstream with a device tree that gives the accelerator to generic-uio, state its number, and run as root or as its owner";
constexpr const char* kBufferRemedy = "load the module with enough memory, as in: insmod u-dma-buf.ko udmabuf0=BYTES";
constexpr std::size_t kCacheLine = 64;  // bytes; u-dma-buf takes multiples of 16, ARM's caches have lines of up to 64

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// The number in a file of sysfs, decimal or with 0x.
std::uint64_t attribute(const std::string& path, const char* remedy) {
  errno = 0;
  std::ifstream stream(path);
  std::string text;
  if (!(stream >> text)) {
    throw Error(path + " cannot be read (" + (errno != 0 ? system_reason() : "it is empty") + "); " + std::string(remedy));
  }
  char* end = nullptr;
  errno = 0;
  const std::uint64_t value = std::strtoull(text.c_str(), &end, 0);
  if (errno != 0 || *end != '\0' || text[0] < '0' || text[0] > '9') {
    throw Error(path + " holds " + text.substr(0, 40) + ", not a number; " + remedy);
  }
  return value;
}

// Orders accesses to registers and memory, of which the accelerator sees both.
void barrier() {
#if defined(__aarch64__) || defined(__arm__)
  asm volatile("dsb sy" ::: "memory");
#elif defined(__x86_64__)
  asm volatile("mfence" ::: "memory");
#else
  __sync_synchronize();
#endif
}

}  // namespace

MappedRegisters::MappedRegisters(const File& file, std::size_t offset, const std::string& name)
    : mapping_(file, 0, offset + tables::REGISTER_FILE_BYTES, name),
      registers_(reinterpret_cast<volatile std::uint32_t*>(static_cast<std::uint8_t*>(mapping_.address()) + offset)) {}

std::uint32_t MappedRegisters::read(std::uint32_t offset) {
  const std::uint32_t value = registers_[offset / 4];
  barrier();
  return value;
}

void MappedRegisters::write(std::uint32_t offset, std::uint32_t value) {
  barrier();
  registers_[offset / 4] = value;
}

bool UioInterrupt::arm() {
  const std::uint32_t one = 1;
  ssize_t written = 0;
  do {
    written = ::write(file_.descriptor(), &one, sizeof one);
  } while (written < 0 && errno == EINTR);
  if (written == ssize_t(sizeof one)) return true;
  if (written < 0 && errno == EIO) return false;     // the device has no interrupt
  if (written < 0 && errno == ENOSYS) return true;  // its driver lets every interrupt through
  throw Error(name_ + ": the interrupt cannot be enabled (" + (written < 0 ? system_reason() : "short write") + "); " + kUioRemedy);
}

bool UioInterrupt::wait(std::chrono::milliseconds longest) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + longest;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    struct pollfd waited = {file_.descriptor(), POLLIN, 0};
    const int count = ::poll(&waited, 1, int(std::clamp<std::int64_t>(left.count(), 0, 1 << 30)));
    if (count == 0) return false;
    if (count < 0 && errno == EINTR) continue;
    if (count > 0 && (waited.revents & POLLIN) != 0) {
      std::uint32_t interrupts = 0;
      const ssize_t got = ::read(file_.descriptor(), &interrupts, sizeof interrupts);
      if (got == ssize_t(sizeof interrupts)) return true;
      if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (got < 0 && errno == EIO) return false;
      throw Error(name_ + ": read " + std::to_string(got) + " bytes where an interrupt count has " +
                  std::to_string(sizeof interrupts) + (got < 0 ? " (" + system_reason() + ")" : "") + "; " + kUioRemedy);
    }
    if (count > 0 && (waited.revents & (POLLHUP | POLLNVAL)) == 0) return false;  // POLLERR: a UIO device without an interrupt
    throw Error(name_ + ": waiting for the interrupt failed (" + (count < 0 ? system_reason() : "the device is gone") + "); " + kUioRemedy);
  }
}

UDmaBuffer::UDmaBuffer(const std::string& path, const std::string& attributes)
    : attributes_(attributes),
      size_(attribute(attributes + "/size", kBufferRemedy)),
      physical_address_(attribute(attributes + "/phys_addr", kBufferRemedy)),
      coherent_(attribute(attributes + "/dma_coherent", kBufferRemedy) != 0),
      sync_for_device_(coherent_ ? File() : File(attributes + "/sync_for_device", O_WRONLY, kBufferRemedy)),
      sync_for_cpu_(coherent_ ? File() : File(attributes + "/sync_for_cpu", O_WRONLY, kBufferRemedy)),
      mapping_(File(path, O_RDWR, kBufferRemedy), 0, size_, path) {}

void UDmaBuffer::sync_for_device(std::size_t offset, std::size_t bytes) { sync(sync_for_device_, "/sync_for_device", offset, bytes); }

void UDmaBuffer::sync_for_cpu(std::size_t offset, std::size_t bytes) { sync(sync_for_cpu_, "/sync_for_cpu", offset, bytes); }

// The attribute takes one number: the offset in bits 63..32, the size in 31..4, the direction in 3..2 (0: both), and 1 in bit 0.
void UDmaBuffer::sync(const File& attribute, const char* name, std::size_t offset, std::size_t bytes) {
  if (coherent_) return barrier();
  const std::size_t begin = offset / kCacheLine * kCacheLine;
  const std::size_t end = std::min((offset + bytes + kCacheLine - 1) / kCacheLine * kCacheLine, size_);
  char text[40];
  const int length = std::snprintf(text, sizeof text, "0x%08" PRIX64 "%08" PRIX64 "\n", std::uint64_t(begin),
                                   (std::uint64_t(end - begin) & 0xFFFFFFF0) | 1);
  if (::pwrite(attribute.descriptor(), text, std::size_t(length), 0) != length) {
    throw Error(attributes_ + name + " takes no " + std::to_string(end - begin) + " bytes at " + std::to_string(begin) + " of " +
                std::to_string(size_) + " (" + system_reason() + "); u-dma-buf 2.0 or newer is needed");
  }
}

std::string default_lock_file() {
  constexpr const char* kName = "/moesaic-board.lock";
  struct stat status;
  if (::stat("/run/lock", &status) == 0 && S_ISDIR(status.st_mode)) return std::string("/run/lock") + kName;
  const char* folder = std::getenv("TMPDIR");
  return std::string(folder != nullptr && *folder != '\0' ? folder : "/tmp") + kName;
}

std::shared_ptr<void> lock_device(const std::string& given) {
  const std::string path = given.empty() ? default_lock_file() : given;
  // First without O_CREAT: in a directory like /tmp the system refuses that flag for another user's file.
  int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0 && errno == ENOENT) {
    descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_CREAT, 0666);
    if (descriptor >= 0 && ::fchmod(descriptor, 0666) != 0) errno = 0;  // somebody else made it first
  }
  if (descriptor < 0) {
    throw Error("lock file " + path + " cannot be opened (" + system_reason() + "); run as the user who made it, or as root");
  }
  auto file = std::make_shared<File>(descriptor);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const ssize_t got = ::pread(descriptor, holder, sizeof holder - 1, 0);
    std::string number(holder, std::size_t(std::max<ssize_t>(got, 0)));
    number.erase(std::find_if(number.begin(), number.end(), [](char c) { return c < '0' || c > '9'; }), number.end());
    throw Error("the board is in use by process " + (number.empty() ? "unknown" : number) + ", this is process " +
                std::to_string(::getpid()) + "; end that one or wait for it (lock file " + path + ")");
  }
  const std::string own = std::to_string(::getpid()) + "\n";
  if (::ftruncate(descriptor, 0) != 0 || ::pwrite(descriptor, own.data(), own.size(), 0) != ssize_t(own.size())) {
    throw Error("lock file " + path + " cannot be written (" + system_reason() + "); make room there");
  }
  return file;
}

Device open_uio(const UioPaths& paths) {
  Device device;
  device.name = paths.uio;
  device.lock = lock_device(paths.lock_file);
  const std::string map = paths.sys_class + "/uio/" + base_name(paths.uio) + "/maps/map0";
  const std::uint64_t offset = attribute(map + "/offset", kUioRemedy), size = attribute(map + "/size", kUioRemedy);
  if (size < tables::REGISTER_FILE_BYTES) {
    throw Error(paths.uio + " has " + std::to_string(size) + " bytes of registers, the accelerator's take " +
                std::to_string(tables::REGISTER_FILE_BYTES) + "; " + kUioRemedy);
  }
  File file(paths.uio, O_RDWR, kUioRemedy);
  device.registers = std::make_unique<MappedRegisters>(file, std::size_t(offset), paths.uio);
  if (paths.interrupt) device.interrupt = std::make_unique<UioInterrupt>(std::move(file), paths.uio);
  device.memory = std::make_unique<UDmaBuffer>(paths.udmabuf, paths.sys_class + "/u-dma-buf/" + base_name(paths.udmabuf));
  return device;
}

}  // namespace moesaic
