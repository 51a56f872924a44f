// SHA-256 (FIPS 180-4).
#ifndef MOESAIC_SHA256_HPP
#define MOESAIC_SHA256_HPP

#include <string>
#include <string_view>

namespace moesaic {

// 64 hexadecimal digits.
std::string sha256(std::string_view data);

}  // namespace moesaic

#endif
