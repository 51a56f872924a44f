// A strict reader of JSON (RFC 8259), and the canonical text over which a manifest's hash is taken.
#ifndef MOESAIC_JSON_HPP
#define MOESAIC_JSON_HPP

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moesaic {

// A value. Beyond the RFC, NaN, Infinity and -Infinity are numbers, because Python writes them; narrower than it, a name may stand
// only once in an object, a string holds no lone surrogate, and nothing is nested deeper than 100 levels.
class Json {
 public:
  enum class Kind { null, boolean, integer, real, string, array, object };

  // Throws Error, with the byte at which the text stops being JSON.
  static Json parse(std::string_view text);

  Kind kind() const { return kind_; }
  // The text of a string; the digits of an integer.
  const std::string& text() const { return text_; }
  bool boolean() const { return boolean_; }
  double real() const { return real_; }
  const std::vector<Json>& elements() const { return elements_; }
  const std::vector<std::pair<std::string, Json>>& members() const { return members_; }  // sorted by name

  // The member of this name, null if there is none or this is no object.
  const Json* find(std::string_view name) const;

  // What Python's json.dumps(value, sort_keys=True, separators=(",", ":")) gives, leaving out one member of the outermost object.
  std::string canonical(std::string_view left_out = {}) const;

 private:
  friend class JsonReader;
  void append_canonical(std::string& out, std::string_view left_out) const;

  Kind kind_ = Kind::null;
  bool boolean_ = false;
  double real_ = 0;
  std::string text_;
  std::vector<Json> elements_;
  std::vector<std::pair<std::string, Json>> members_;
};

// A text as a JSON string, in ASCII.
std::string quoted(std::string_view text);

}  // namespace moesaic

#endif
