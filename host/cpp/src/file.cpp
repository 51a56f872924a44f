#include "file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "moesaic/moesaic.hpp"

namespace moesaic {

std::string system_reason() { return std::generic_category().message(errno); }

File::File(const std::string& path, int flags, std::string_view remedy) : descriptor_(::open(path.c_str(), flags | O_CLOEXEC)) {
  if (descriptor_ < 0) throw Error(path + " cannot be opened (" + system_reason() + "); " + std::string(remedy));
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Mapping::Mapping(const File& file, std::size_t offset, std::size_t bytes, const std::string& name)
    : address_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.descriptor(), off_t(offset))), bytes_(bytes) {
  if (address_ == MAP_FAILED) {
    throw Error(name + " cannot be mapped: " + std::to_string(bytes) + " bytes at " + std::to_string(offset) + " (" + system_reason() +
                "); check what the device tree gives this device");
  }
}

Mapping::~Mapping() {
  if (address_ != nullptr) ::munmap(address_, bytes_);
}

}  // namespace moesaic
