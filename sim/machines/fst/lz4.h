// What Verilator's FST writer needs of LZ4, so that no development package of it is needed: an encoder of LZ4 blocks
// (https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md) that takes the last place at which four bytes were seen.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

// Returns the bytes written; `capacity` has to be LZ4_compressBound(size) or more.
inline int LZ4_compress_default(const char* source, char* destination, int size, int capacity) {
  constexpr int kMinMatch = 4, kHashBits = 14, kMaxOffset = 65535;
  constexpr int kLastLiterals = 5;  // the block ends with so many literals,
  constexpr int kLastMatch = 12;    // and no match starts closer to its end
  if (capacity < LZ4_compressBound(size)) return 0;
  std::vector<int> last_seen(size_t(1) << kHashBits, -1);
  char* out = destination;
  int literals = 0;  // where they start
  const auto put_length = [&out](int length) {
    for (; length >= 255; length -= 255) *out++ = char(255);
    *out++ = char(length);
  };
  const auto put_literals = [&](int end, int match) {
    const int count = end - literals;
    *out++ = char(std::min(count, 15) << 4 | std::min(match, 15));
    if (count >= 15) put_length(count - 15);
    std::memcpy(out, source + literals, size_t(count));
    out += count;
  };
  for (int position = 0; position <= size - kLastMatch;) {
    uint32_t bytes;
    std::memcpy(&bytes, source + position, sizeof bytes);
    int& place = last_seen[bytes * 2654435761u >> (32 - kHashBits)];
    const int candidate = place;
    place = position;
    if (candidate < 0 || position - candidate > kMaxOffset ||
        std::memcmp(source + candidate, source + position, kMinMatch) != 0) {
      ++position;
      continue;
    }
    int length = kMinMatch;
    while (position + length < size - kLastLiterals && source[candidate + length] == source[position + length]) ++length;
    const int offset = position - candidate;
    put_literals(position, length - kMinMatch);
    *out++ = char(offset & 0xff);
    *out++ = char(offset >> 8);
    if (length - kMinMatch >= 15) put_length(length - kMinMatch - 15);
    position += length;
    literals = position;
  }
  put_literals(size, 0);
  return int(out - destination);
}
