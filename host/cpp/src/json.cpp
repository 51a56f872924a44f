#include "json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

#include "moesaic/moesaic.hpp"

namespace moesaic {
namespace {

constexpr int kDeepest = 100;

void append_utf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += char(code);
  } else if (code < 0x800) {
    out += char(0xC0 | code >> 6);
    out += char(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += char(0xE0 | code >> 12);
    out += char(0x80 | (code >> 6 & 0x3F));
    out += char(0x80 | (code & 0x3F));
  } else {
    out += char(0xF0 | code >> 18);
    out += char(0x80 | (code >> 12 & 0x3F));
    out += char(0x80 | (code >> 6 & 0x3F));
    out += char(0x80 | (code & 0x3F));
  }
}

// The code point that begins at `at`, which moves behind it; 0xFFFFFFFF if the bytes there are no UTF-8.
std::uint32_t next_code(std::string_view text, std::size_t& at) {
  constexpr std::uint32_t kNone = 0xFFFFFFFF;
  const auto byte = [&](std::size_t index) { return std::uint32_t(std::uint8_t(text[index])); };
  const std::uint32_t first = byte(at++);
  if (first < 0x80) return first;
  const std::size_t more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
  if (first < 0xC2 || first > 0xF4 || text.size() - at < more) return kNone;
  std::uint32_t code = first & (0x3FU >> more);
  for (std::size_t i = 0; i < more; i++) {
    const std::uint32_t next = byte(at++);
    if ((next & 0xC0) != 0x80) return kNone;
    code = code << 6 | (next & 0x3F);
  }
  constexpr std::uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
  if (code < kLeast[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return kNone;
  return code;
}

// As Python's repr writes a float: the shortest digits that give the number back, with an exponent if it is below -4 or above 15.
std::string real_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, std::size_t(end - buffer));
  const std::size_t mark = text.find('e');
  std::string digits;
  for (const char c : text.substr(0, mark)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  int exponent = 0;
  const std::size_t power = mark + (text[mark + 1] == '+' ? 2 : 1);
  std::from_chars(text.data() + power, text.data() + text.size(), exponent);
  std::string out = text[0] == '-' ? "-" : "";
  if (exponent < -4 || exponent > 15) {
    out += digits[0];
    if (digits.size() > 1) out += "." + digits.substr(1);
    char shown[16];
    std::snprintf(shown, sizeof shown, "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
    return out + shown;
  }
  if (exponent < 0) return out + "0." + std::string(std::size_t(-exponent - 1), '0') + digits;
  const std::size_t whole = std::size_t(exponent) + 1;
  if (digits.size() < whole) digits.resize(whole, '0');
  const std::string fraction = digits.substr(whole);
  return out + digits.substr(0, whole) + "." + (fraction.empty() ? "0" : fraction);
}

}  // namespace

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  Json document() {
    Json value = read(0);
    skip_space();
    if (at_ < text_.size()) fail("there is more behind its end");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error("no valid JSON at byte " + std::to_string(at_) + ": " + what);
  }

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) at_++;
  }

  bool take(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  bool digit() const { return at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; }

  Json read(int depth) {
    if (depth > kDeepest) fail("it is nested deeper than " + std::to_string(kDeepest) + " levels");
    skip_space();
    Json value;
    if (at_ == text_.size()) fail("it ends in the middle of a value");
    if (take("{")) {
      value.kind_ = Json::Kind::object;
      read_members(value, depth);
    } else if (take("[")) {
      value.kind_ = Json::Kind::array;
      read_elements(value, depth);
    } else if (text_[at_] == '"') {
      value.kind_ = Json::Kind::string;
      value.text_ = read_string();
    } else if (take("null")) {
      value.kind_ = Json::Kind::null;
    } else if (take("true") || take("false")) {
      value.kind_ = Json::Kind::boolean;
      value.boolean_ = text_[at_ - 2] == 'u';
    } else {
      read_number(value);
    }
    return value;
  }

  void read_members(Json& value, int depth) {
    skip_space();
    if (take("}")) return;
    do {
      skip_space();
      if (at_ == text_.size() || text_[at_] != '"') fail("a name is missing");
      std::string name = read_string();
      skip_space();
      if (!take(":")) fail("a colon is missing behind the name " + quoted(name));
      value.members_.emplace_back(std::move(name), read(depth + 1));
      skip_space();
    } while (take(","));
    if (!take("}")) fail("an object is not closed");
    std::sort(value.members_.begin(), value.members_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (std::size_t i = 1; i < value.members_.size(); i++) {
      if (value.members_[i].first == value.members_[i - 1].first) {
        fail("an object has the name " + quoted(value.members_[i].first) + " twice");
      }
    }
  }

  void read_elements(Json& value, int depth) {
    skip_space();
    if (take("]")) return;
    do {
      value.elements_.push_back(read(depth + 1));
      skip_space();
    } while (take(","));
    if (!take("]")) fail("an array is not closed");
  }

  std::uint32_t read_hex() {
    std::uint32_t value = 0;
    if (text_.size() - at_ < 4) fail("an escape ends too early");
    const char* begin = text_.data() + at_;
    const auto parsed = std::from_chars(begin, begin + 4, value, 16);
    if (parsed.ptr != begin + 4) fail("an escape has no four hexadecimal digits");
    at_ += 4;
    return value;
  }

  std::uint32_t read_escaped_code() {
    const std::uint32_t high = read_hex();
    if (high < 0xD800 || high >= 0xE000) return high;
    if (high >= 0xDC00 || !take("\\u")) fail("a string has a lone surrogate");
    const std::uint32_t low = read_hex();
    if (low < 0xDC00 || low >= 0xE000) fail("a string has a lone surrogate");
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
  }

  std::string read_string() {
    std::string out;
    at_++;
    while (true) {
      if (at_ >= text_.size()) fail("a string is not closed");
      if (take("\"")) return out;
      if (take("\\")) {
        constexpr std::string_view kEscapes = "\"\\/bfnrt", kMeaning = "\"\\/\b\f\n\r\t";
        const std::size_t which = at_ < text_.size() ? kEscapes.find(text_[at_]) : std::string_view::npos;
        if (which != std::string_view::npos) {
          out += kMeaning[which];
          at_++;
        } else if (take("u")) {
          append_utf8(out, read_escaped_code());
        } else {
          fail("a string has an unknown escape");
        }
        continue;
      }
      const std::size_t begin = at_;
      const std::uint32_t code = next_code(text_, at_);
      if (code < 0x20) fail("a string holds a control character");
      if (code > 0x10FFFF) fail("a string is not UTF-8");
      out += text_.substr(begin, at_ - begin);
    }
  }

  void read_number(Json& value) {
    const std::size_t begin = at_;
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    for (const auto& [word, number] : {std::pair<std::string_view, double>{"NaN", std::numeric_limits<double>::quiet_NaN()},
                                       {"Infinity", kInfinity},
                                       {"-Infinity", -kInfinity}}) {
      if (take(word)) {
        value.kind_ = Json::Kind::real;
        value.real_ = number;
        return;
      }
    }
    take("-");
    if (!digit()) fail("a value is missing");
    if (!take("0")) {
      while (digit()) at_++;
    }
    bool is_real = false;
    if (text_.substr(at_, 1) == ".") {
      at_++;
      is_real = true;
      if (!digit()) fail("a number ends with a point");
      while (digit()) at_++;
    }
    if (take("e") || take("E")) {
      is_real = true;
      if (!take("+")) take("-");
      if (!digit()) fail("a number has no exponent");
      while (digit()) at_++;
    }
    const std::string_view text = text_.substr(begin, at_ - begin);
    if (!is_real) {
      value.kind_ = Json::Kind::integer;
      value.text_ = text == "-0" ? "0" : std::string(text);
    } else {
      value.kind_ = Json::Kind::real;
    }
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value.real_);
    if (is_real && parsed.ec != std::errc()) fail("the number " + std::string(text) + " is out of range");
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

Json Json::parse(std::string_view text) { return JsonReader(text).document(); }

const Json* Json::find(std::string_view name) const {
  for (const auto& [own, value] : members_) {
    if (own == name) return &value;
  }
  return nullptr;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const std::uint32_t code = next_code(text, at);
    constexpr std::string_view kEscaped = "\"\\\b\f\n\r\t", kLetters = "\"\\bfnrt";
    const std::size_t which = code < 0x80 ? kEscaped.find(char(code)) : std::string_view::npos;
    char buffer[16];
    if (which != std::string_view::npos) {
      out += '\\';
      out += kLetters[which];
    } else if (code >= 0x20 && code < 0x7F) {
      out += char(code);
    } else if (code < 0x10000) {
      std::snprintf(buffer, sizeof buffer, "\\u%04x", code);
      out += buffer;
    } else if (code <= 0x10FFFF) {
      std::snprintf(buffer, sizeof buffer, "\\u%04x\\u%04x", 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + (code & 0x3FF));
      out += buffer;
    } else {
      out += '?';
    }
  }
  return out + '"';
}

std::string Json::canonical(std::string_view left_out) const {
  std::string out;
  append_canonical(out, left_out);
  return out;
}

void Json::append_canonical(std::string& out, std::string_view left_out) const {
  switch (kind_) {
    case Kind::null:
      out += "null";
      break;
    case Kind::boolean:
      out += boolean_ ? "true" : "false";
      break;
    case Kind::integer:
      out += text_;
      break;
    case Kind::real:
      out += real_text(real_);
      break;
    case Kind::string:
      out += quoted(text_);
      break;
    case Kind::array:
      for (std::size_t i = 0; i < elements_.size(); i++) {
        out += i == 0 ? "[" : ",";
        elements_[i].append_canonical(out, {});
      }
      out += elements_.empty() ? "[]" : "]";
      break;
    case Kind::object: {
      bool first = true;
      out += "{";
      for (const auto& [name, value] : members_) {
        if (!left_out.empty() && name == left_out) continue;
        if (!first) out += ",";
        first = false;
        out += quoted(name) + ":";
        value.append_canonical(out, {});
      }
      out += "}";
      break;
    }
  }
}

}  // namespace moesaic
