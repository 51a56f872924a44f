// Open files and mapped memory, closed by their destructors.
#ifndef MOESAIC_FILE_HPP
#define MOESAIC_FILE_HPP

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace moesaic {

// An open file; -1 once it has been moved from.
class File {
 public:
  explicit File(int descriptor = -1) : descriptor_(descriptor) {}
  // Throws Error that ends with the remedy.
  File(const std::string& path, int flags, std::string_view remedy);
  File(File&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~File();

  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

// A part of a file in memory, shared with all who map it.
class Mapping {
 public:
  // offset: bytes, a multiple of the page size. name: for errors.
  Mapping(const File& file, std::size_t offset, std::size_t bytes, const std::string& name);
  Mapping(Mapping&& other) noexcept : address_(std::exchange(other.address_, nullptr)), bytes_(other.bytes_) {}
  Mapping& operator=(Mapping&&) = delete;
  ~Mapping();

  void* address() const { return address_; }

 private:
  void* address_;
  std::size_t bytes_;
};

// The reason of the last error of a system call.
std::string system_reason();

}  // namespace moesaic

#endif
