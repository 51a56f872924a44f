// Reads builds; every check of moesaic.spec.build.load_build but for the rules between the configuration's sizes, which the fingerprint
// of the device stands for.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <limits>

#include "json.hpp"
#include "moesaic/moesaic.hpp"
#include "sha256.hpp"
#include "tables.hpp"

namespace moesaic {
namespace {

constexpr std::string_view kRemedy = "; make it again with `moesaic generate`";
constexpr std::string_view kConstants = "constants.bin";
constexpr std::uint64_t kWindowLimit = std::uint64_t(1) << 32;  // bytes that a window can have at most

std::string read_bytes(const std::string& path, const std::string& if_missing) {
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  if (!stream) {
    if (errno == ENOENT) throw Error(if_missing + std::string(kRemedy));
    throw Error(path + " cannot be read (" + std::strerror(errno) + ")" + std::string(kRemedy));
  }
  std::string content(std::istreambuf_iterator<char>(stream), {});
  if (stream.bad()) throw Error(path + " cannot be read (" + std::strerror(errno) + ")" + std::string(kRemedy));
  return content;
}

// A value for an error, on one line and not too long.
std::string shown(const Json& value) {
  const std::string text = value.canonical();
  return text.size() <= 80 ? text : text.substr(0, 77) + "...";
}

template <typename Names>
std::string listed(const Names& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

template <typename Names>
bool contains(const Names& names, std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// What is wrong with a manifest; load() adds where it stands, and the remedy.
struct Malformed {
  std::string problem;
};

// An object of the manifest: what it may hold, and its entries by type. place: what errors call it.
class Table {
 public:
  Table(const Json& value, std::string place) : value_(value), place_(std::move(place)) {
    if (value.kind() != Json::Kind::object) throw Malformed{place_ + " is " + shown(value) + ", not a table"};
  }

  // Refuses entries with any other name.
  template <typename Names>
  void allow(const Names& names) const {
    for (const auto& [name, value] : value_.members()) {
      if (!contains(names, name)) {
        throw Malformed{place_ + " has an unknown entry " + quoted(name) + ": choose " + listed(names)};
      }
    }
  }
  void allow(std::initializer_list<std::string_view> names) const { allow<std::initializer_list<std::string_view>>(names); }

  const Json* find(std::string_view name) const { return value_.find(name); }
  const Json& operator[](std::string_view name) const {
    const Json* found = find(name);
    if (found == nullptr) throw Malformed{place_ + " has no entry " + quoted(name)};
    return *found;
  }
  const std::vector<std::pair<std::string, Json>>& members() const { return value_.members(); }
  std::string place(std::string_view name) const { return place_ + "." + std::string(name); }

  Table table(std::string_view name) const { return {(*this)[name], place(name)}; }
  std::string text(std::string_view name) const { return text((*this)[name], place(name)); }
  std::uint64_t number(std::string_view name, std::uint64_t least, std::uint64_t most) const {
    return number((*this)[name], place(name), least, most);
  }
  std::uint32_t number32(std::string_view name, std::uint32_t least = 0,
                         std::uint32_t most = std::numeric_limits<std::uint32_t>::max()) const {
    return std::uint32_t(number(name, least, most));
  }
  double real(std::string_view name) const { return real((*this)[name], place(name)); }
  const std::vector<Json>& list(std::string_view name) const {
    const Json& value = (*this)[name];
    if (value.kind() != Json::Kind::array) throw Malformed{place(name) + " is " + shown(value) + ", not a list"};
    return value.elements();
  }

  static std::string text(const Json& value, const std::string& place) {
    if (value.kind() != Json::Kind::string) throw Malformed{place + " is " + shown(value) + ", not a text"};
    return value.text();
  }
  static std::uint64_t number(const Json& value, const std::string& place, std::uint64_t least, std::uint64_t most) {
    std::uint64_t number = 0;
    const std::string& digits = value.text();
    const char* end = digits.data() + digits.size();
    const bool is_integer = value.kind() == Json::Kind::integer;
    const auto parsed = std::from_chars(digits.data(), end, number);
    if (!is_integer || parsed.ec != std::errc() || parsed.ptr != end || number < least || number > most) {
      throw Malformed{place + " is " + shown(value) + ", not an integer from " + std::to_string(least) + " to " +
                      std::to_string(most)};
    }
    return number;
  }
  static double real(const Json& value, const std::string& place) {
    const bool is_number = value.kind() == Json::Kind::integer || value.kind() == Json::Kind::real;
    if (!is_number || !std::isfinite(value.real())) throw Malformed{place + " is " + shown(value) + ", not a finite number"};
    return value.real();
  }

 private:
  const Json& value_;
  std::string place_;
};

std::string choice(const Table& table, std::string_view name, std::string_view usual, const std::vector<std::string_view>& known) {
  if (table.find(name) == nullptr) return std::string(usual);
  std::string found = table.text(name);
  if (!contains(known, found)) {
    throw Malformed{table.place(name) + " is " + quoted(found) + ": choose " + listed(known)};
  }
  return found;
}

template <std::size_t Count>
std::vector<std::string_view> names(const std::array<std::string_view, Count>& array) {
  return {array.begin(), array.end()};
}

std::array<double, 3> three_reals(const Table& table, std::string_view name, double usual) {
  std::array<double, 3> values = {usual, usual, usual};
  if (table.find(name) == nullptr) return values;
  const auto& found = table.list(name);
  if (found.size() != 3) throw Malformed{table.place(name) + " has " + std::to_string(found.size()) + " numbers, it needs 3"};
  for (std::size_t i = 0; i < 3; i++) values[i] = Table::real(found[i], table.place(name));
  return values;
}

std::array<std::uint8_t, 3> nearest_pixel(const std::array<double, 3>& mean) {
  std::array<std::uint8_t, 3> pixel;
  for (std::size_t i = 0; i < 3; i++) pixel[i] = std::uint8_t(std::clamp(std::floor(255 * mean[i] + 0.5), 0.0, 255.0));
  return pixel;
}

InputDescription read_input(const Table& table) {
  table.allow(tables::INPUT_FIELDS);
  InputDescription input;
  input.mean = three_reals(table, "mean", tables::USUAL_MEAN);
  input.deviation = three_reals(table, "deviation", tables::USUAL_DEVIATION);
  input.resize = choice(table, "resize", tables::USUAL_RESIZE, names(tables::RESIZE_NAMES));
  input.pad_side = choice(table, "pad_side", tables::USUAL_PAD_SIDE, names(tables::PAD_SIDE_NAMES));
  input.interpolation = choice(table, "interpolation", tables::USUAL_INTERPOLATION, names(tables::INTERPOLATION_NAMES));
  if (*std::min_element(input.deviation.begin(), input.deviation.end()) <= 0) {
    throw Malformed{"input.deviation is " + shown(table["deviation"]) + ", each must be above 0"};
  }
  if (table.find("crop_ratio") != nullptr) input.crop_ratio = table.real("crop_ratio");
  if (!(input.crop_ratio > 0 && input.crop_ratio <= 1)) {
    throw Malformed{"input.crop_ratio is " + shown(table["crop_ratio"]) + ", it must be above 0 and at most 1"};
  }
  if (input.crop_ratio != 1 && input.resize != tables::RESIZE_CROP && input.resize != tables::RESIZE_STRETCH) {
    throw Malformed{"input.crop_ratio is " + shown(table["crop_ratio"]) + ": set input.resize to crop or stretch, not " +
                    input.resize};
  }
  input.padding = nearest_pixel(input.mean);
  if (table.find("pad_colour") != nullptr && !table.list("pad_colour").empty()) {
    const auto& colour = table.list("pad_colour");
    if (colour.size() != 3) throw Malformed{"input.pad_colour has " + std::to_string(colour.size()) + " numbers, it needs 3 or none"};
    for (std::size_t i = 0; i < 3; i++) input.padding[i] = std::uint8_t(Table::number(colour[i], "input.pad_colour", 0, 255));
  }
  return input;
}

OutputDescription read_output_description(const Table& table) {
  table.allow(tables::OUTPUT_FIELDS);
  OutputDescription output;
  output.decoding = choice(table, "decoding", "", names(tables::DECODING_NAMES));
  choice(table, "picture", "", names(tables::PICTURE_NAMES));
  output.logarithmic = choice(table, "encoding", tables::USUAL_ENCODING, names(tables::ENCODING_NAMES)) == tables::ENCODING_LOG;
  output.metres_per_unit = output.logarithmic ? tables::METRES_LOG : tables::METRES_LINEAR;
  if (table.find("unit") != nullptr) {
    const double unit = table.real("unit");
    if (unit < 0) throw Malformed{table.place("unit") + " is " + shown(table["unit"]) + ", it must be a number of metres, or 0"};
    if (unit > 0) output.metres_per_unit = unit;
  }
  if (table.find("axes") == nullptr) return output;
  output.axes = {};
  const auto& axes = table.list("axes");
  std::array<bool, 3> named = {};
  bool valid = axes.size() == 3;
  for (std::size_t channel = 0; valid && channel < 3; channel++) {
    const std::string direction = Table::text(axes[channel], table.place("axes"));
    valid = false;
    for (std::size_t axis = 0; axis < 3; axis++) {
      const bool along = direction == tables::AXES[axis];
      if ((along || direction == tables::OPPOSITE_AXES[axis]) && !named[axis]) {
        output.axes[axis][channel] = along ? 1 : -1;
        named[axis] = valid = true;
      }
    }
  }
  if (!valid) {
    throw Malformed{table.place("axes") + " is " + shown(table["axes"]) + ": name each of " + listed(tables::AXES) +
                    ", or its opposite, once: " + listed(tables::OPPOSITE_AXES)};
  }
  return output;
}

// The product, or the limit if it would reach that.
std::uint64_t product(std::initializer_list<std::uint64_t> factors, std::uint64_t limit) {
  std::uint64_t out = 1;
  for (const std::uint64_t factor : factors) {
    if (factor != 0 && out >= (limit + factor - 1) / factor) return limit;
    out *= factor;
  }
  return out;
}

void check_inside(const std::string& what, std::uint64_t offset, std::uint64_t size, std::uint64_t window) {
  if (size < 1 || size > window || offset > window - size) {
    throw Malformed{what + ", " + std::to_string(size) + " bytes at " + std::to_string(offset) + ", does not lie within the " +
                    std::to_string(window) + " bytes of its window"};
  }
}

Extent read_program(const Table& table, const std::string& task, std::uint64_t constants) {
  const Table program = table.table("program");
  program.allow({"offset", "size"});
  const Extent extent = {program.number32("offset"), program.number32("size")};
  check_inside("the program of task " + task, extent.offset, extent.size, constants);
  return extent;
}

void check_observations(const Table& table) {
  const Table observations = table.table("observations");
  for (const auto& [name, value] : observations.members()) {
    const Table observation(value, observations.place(name));
    observation.allow({"offset", "pitch", "shape", "dtype", "group", "group_pitch", "kept"});
    for (const std::string_view field : {"offset", "pitch", "group", "group_pitch"}) {
      if (field.substr(0, 5) != "group" || observation.find(field) != nullptr) observation.number32(field);
    }
    for (const Json& side : observation.list("shape")) Table::number(side, observation.place("shape"), 0, kWindowLimit);
    observation.text("dtype");
  }
}

// What a task's output is decoded to; its channels suit that.
std::string checked_decoding(const Task& task) {
  const auto* kind = std::find(tables::KIND_NAMES.begin(), tables::KIND_NAMES.end(), task.kind);
  const bool known = kind != tables::KIND_NAMES.end();
  if (!known && task.output.decoding.empty()) {
    throw Malformed{"task " + task.name + ": kind " + quoted(task.kind) + " is none of " + listed(tables::KIND_NAMES) +
                    ", and its output states no decoding"};
  }
  const std::string decoding(known ? tables::KIND_DECODINGS[std::size_t(kind - tables::KIND_NAMES.begin())] : task.output.decoding);
  if (!task.output.decoding.empty() && task.output.decoding != decoding) {
    throw Malformed{"task " + task.name + ": output.decoding is " + quoted(task.output.decoding) + ", kind " + task.kind +
                    " is always decoded to " + decoding};
  }
  const std::uint32_t wanted = decoding == tables::DECODING_DIRECTIONS ? 3 : decoding == tables::DECODING_METRES ? 1 : task.channels;
  if (task.channels != wanted) {
    throw Malformed{"task " + task.name + " of kind " + task.kind + " has " + std::to_string(task.channels) + " channels, it needs " +
                    std::to_string(wanted)};
  }
  return decoding;
}

void check_kind(const Task& task) {
  const auto* pooling = std::find(tables::POOLING_NAMES.begin(), tables::POOLING_NAMES.end(), task.pooling);
  const bool is_classification = task.kind == tables::KIND_CLASSIFICATION;
  if (is_classification == task.pooling.empty() || (is_classification && pooling == tables::POOLING_NAMES.end())) {
    throw Malformed{"task " + task.name + ": pooling " + quoted(task.pooling) + " does not suit kind " + task.kind};
  }
  if (is_classification) {
    const std::uint32_t least = tables::POOLING_ROWS[std::size_t(pooling - tables::POOLING_NAMES.begin())];
    if (task.width < least) {
      throw Malformed{"task " + task.name + ": pooling " + quoted(task.pooling) + " of " + std::to_string(task.width) +
                      " rows, it needs " + std::to_string(least)};
    }
  }
  const std::uint64_t patches = product({task.grid_rows, task.grid_columns}, kWindowLimit);
  if ((task.kind == tables::KIND_FEATURES) != (patches > 0) || patches > task.width) {
    throw Malformed{"task " + task.name + ": a grid of " + std::to_string(task.grid_rows) + "x" +
                    std::to_string(task.grid_columns) + " patches does not suit kind " + task.kind + " of " +
                    std::to_string(task.width) + " tokens"};
  }
}

bool is_alternative_name(const std::string& name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

// Adds a task and its alternatives.
void read_task(const std::string& name, const Table& table, Build& build) {
  table.allow({"program", "output_offset", "output_shape", "channels", "kind", "output_scale", "macs", "class_names", "observations",
               "metrics", "alternatives", "pooling", "grid", "output"});
  constexpr std::uint64_t kMostMacs = std::uint64_t(1) << 62;
  Task task;
  task.name = name;
  task.program = read_program(table, name, build.constants.size());
  task.output_offset = table.number32("output_offset");
  const auto& shape = table.list("output_shape");
  if (shape.size() != 3) throw Malformed{table.place("output_shape") + " has " + std::to_string(shape.size()) + " sides, not 3"};
  std::uint32_t* const sides[] = {&task.height, &task.width, &task.stored_channels};
  for (std::size_t i = 0; i < 3; i++) {
    *sides[i] = std::uint32_t(Table::number(shape[i], table.place("output_shape"), 1, kWindowLimit - 1));
  }
  task.channels = table.number32("channels");
  task.kind = table.text("kind");
  task.output_scale = table.real("output_scale");
  task.macs = table.number("macs", 0, kMostMacs);
  for (const Json& label : table.list("class_names")) task.class_names.push_back(Table::text(label, table.place("class_names")));
  check_observations(table);
  table.table("metrics");
  if (table.find("pooling") != nullptr) task.pooling = table.text("pooling");
  if (table.find("grid") != nullptr) {
    const auto& grid = table.list("grid");
    if (grid.size() != 2) throw Malformed{table.place("grid") + " has " + std::to_string(grid.size()) + " sides, not 2"};
    task.grid_rows = std::uint32_t(Table::number(grid[0], table.place("grid"), 0, kWindowLimit - 1));
    task.grid_columns = std::uint32_t(Table::number(grid[1], table.place("grid"), 0, kWindowLimit - 1));
  }
  if (table.find("output") != nullptr) task.output = read_output_description(table.table("output"));

  const std::uint64_t bytes = product({2, task.height, task.width, task.stored_channels}, kWindowLimit);
  check_inside("the output of task " + name, task.output_offset, bytes, build.frame_bytes);
  if (task.channels < 1 || task.channels > task.stored_channels) {
    throw Malformed{"task " + name + " has " + std::to_string(task.channels) + " of " + std::to_string(task.stored_channels) +
                    " stored channels"};
  }
  task.output.decoding = checked_decoding(task);
  check_kind(task);
  if (table.find("alternatives") != nullptr) {
    const Table alternatives = table.table("alternatives");
    for (const auto& [alternative, value] : alternatives.members()) {
      if (!is_alternative_name(alternative)) {
        throw Malformed{"task " + name + ": alternative " + quoted(alternative) + " is not named by letters, digits, - and _"};
      }
      const Table entries(value, alternatives.place(alternative));
      entries.allow({"program", "macs", "metrics", "observations"});
      Task other = task;
      other.name = name + "@" + alternative;
      other.program = read_program(entries, other.name, build.constants.size());
      other.macs = entries.number("macs", 0, kMostMacs);
      check_observations(entries);
      build.tasks.emplace(other.name, std::move(other));
    }
  }
  build.tasks.emplace(name, std::move(task));
}

std::string fingerprint_of(const Table& configuration) {
  configuration.allow(tables::CONFIGURATION_FIELDS);
  configuration.text("name");
  configuration.text("part");
  std::string text;
  for (const auto& part : tables::FINGERPRINT_PARTS) {
    text += part.text;
    if (!part.size.empty()) text += std::to_string(configuration.number(part.size, 0, std::numeric_limits<std::uint32_t>::max()));
  }
  return sha256(text).substr(0, 16);
}

void check_format(const Json& manifest, const std::string& path) {
  const Json* format = manifest.find("format");
  const Json* version = manifest.find("version");
  const bool ours = format != nullptr && format->kind() == Json::Kind::string && format->text() == tables::BUILD_FORMAT &&
                    version != nullptr && version->kind() == Json::Kind::integer && version->text() == tables::BUILD_VERSION;
  if (ours) return;
  const auto found = [](const Json* value) { return value == nullptr ? std::string("null") : shown(*value); };
  throw Error(path + " has format " + found(format) + " in version " + found(version) + ", this program reads " +
              quoted(tables::BUILD_FORMAT) + " in version " + std::string(tables::BUILD_VERSION) + std::string(kRemedy));
}

// The content of constants.bin; all other files are read for their hash alone.
std::string read_files(const Json& manifest, const std::string& directory, const std::string& path) {
  const Json* files = manifest.find("files");
  if (files == nullptr || files->kind() != Json::Kind::object) {
    throw Error(path + " is malformed: it lists no files" + std::string(kRemedy));
  }
  if (files->find(kConstants) == nullptr) {
    throw Error(path + " is malformed: " + std::string(kConstants) + " is not among its files" + std::string(kRemedy));
  }
  std::string constants;
  for (const auto& [name, hash] : files->members()) {
    const std::string file = directory + "/" + name;
    std::string content = read_bytes(file, file + " is missing");
    const std::string found = sha256(content);
    if (hash.text() != found) {
      throw Error(file + " is altered: SHA-256 " + found + " where the manifest has " + shown(hash) + std::string(kRemedy));
    }
    if (name == kConstants) constants = std::move(content);
  }
  return constants;
}

Build read_manifest(const Table& manifest, const std::string& constants) {
  Build build;
  build.constants.assign(constants.begin(), constants.end());
  if (build.constants.size() >= kWindowLimit) {
    throw Malformed{"its constants take " + std::to_string(build.constants.size()) + " bytes, a window has less than " +
                    std::to_string(kWindowLimit)};
  }
  build.name = manifest.text("name");
  build.fingerprint = manifest.text("fingerprint");
  manifest.text("bundle_sha256");
  manifest.table("report");
  for (const Json& tag : manifest.list("tags")) build.tags.push_back(Table::text(tag, "tags"));
  const Table image = manifest.table("image");
  build.image.height = image.number32("height", 1, tables::LARGEST_SIDE);
  build.image.width = image.number32("width", 1, tables::LARGEST_SIDE);
  build.image_offset = image.number32("offset");
  if (image.find("patch") != nullptr) {
    build.image_patch = image.number32("patch", 0, build.image.width);
    build.image_pitch = image.number32("pitch", build.image_patch);
  }
  if (build.image_patch != 0 && build.image.width % build.image_patch != 0) {
    throw Malformed{"its image of " + std::to_string(build.image.width) + " pixels a line is not made of runs of " +
                    std::to_string(build.image_patch)};
  }
  build.frame_bytes = manifest.number32("frame_bytes");
  if (manifest.find("input") != nullptr) build.input = read_input(manifest.table("input"));
  check_inside("the image", build.image_offset, build.image_bytes(), build.frame_bytes);
  const Table tasks = manifest.table("tasks");
  for (const auto& [name, value] : tasks.members()) read_task(name, Table(value, "task " + name), build);
  if (build.tasks.empty()) throw Malformed{"it has no task"};
  return build;
}

}  // namespace

InputDescription::InputDescription()
    : resize(tables::USUAL_RESIZE), pad_side(tables::USUAL_PAD_SIDE), interpolation(tables::USUAL_INTERPOLATION) {
  mean.fill(tables::USUAL_MEAN);
  deviation.fill(tables::USUAL_DEVIATION);
  padding = nearest_pixel(mean);
}

OutputDescription::OutputDescription()
    : metres_per_unit(tables::METRES_LOG), axes{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}} {}

Build Build::load(const std::string& directory) {
  const std::string path = directory + "/" + std::string(tables::MANIFEST);
  const std::string missing =
      directory + " is no " + std::string(tables::BUILD_FORMAT) + ": " + std::string(tables::MANIFEST) + " is missing";
  const std::string text = read_bytes(path, missing);
  Json manifest;
  try {
    manifest = Json::parse(text);
  } catch (const Error& error) {
    throw Error(path + " cannot be read (" + error.what() + ")" + std::string(kRemedy));
  }
  check_format(manifest, path);
  const Json* written = manifest.find("sha256");
  const std::string found = sha256(manifest.canonical("sha256"));
  if (written == nullptr || written->text() != found) {
    throw Error(path + " is altered: SHA-256 " + found + " where " + (written == nullptr ? "none" : shown(*written)) +
                " was written" + std::string(kRemedy));
  }
  const std::string constants = read_files(manifest, directory, path);
  try {
    const Table table(manifest, "it");
    table.allow({"format", "version", "name", "configuration", "fingerprint", "image", "frame_bytes", "tasks", "tags", "report",
                 "bundle_sha256", "input", "joint", "files", "sha256"});
    Build build = read_manifest(table, constants);
    build.directory = directory;
    const std::string fingerprint = fingerprint_of(table.table("configuration"));
    if (build.fingerprint != fingerprint) {
      throw Error(directory + ": fingerprint " + build.fingerprint + " but its configuration has " + fingerprint +
                  " for this program; make build and program with one version of moesaic");
    }
    return build;
  } catch (const Malformed& malformed) {
    throw Error(path + " is malformed: " + malformed.problem + std::string(kRemedy));
  }
}

const Task& Build::task(std::string_view wanted) const {
  const auto found = tasks.find(wanted);
  if (found != tasks.end()) return found->second;
  const std::size_t separator = wanted.find('@');
  const std::string base(wanted.substr(0, separator));
  std::vector<std::string> known, alternatives;
  for (const auto& entry : tasks) {
    const std::string& own = entry.first;
    if (own.find('@') == std::string::npos) known.push_back(own);
    if (own.compare(0, base.size() + 1, base + "@") == 0) alternatives.push_back(own.substr(base.size() + 1));
  }
  if (separator == std::string_view::npos || tasks.find(base) == tasks.end()) {
    throw Error("unknown task " + quoted(base) + "; build " + name + " has " + listed(known));
  }
  throw Error("unknown pathway " + quoted(wanted.substr(separator + 1)) + " of task " + base + ": build " + name +
              " has its default and " + (alternatives.empty() ? "no alternative" : "the alternatives " + listed(alternatives)));
}

std::uint64_t Build::image_bytes() const {
  const std::uint64_t width = image_patch != 0 ? std::uint64_t(image.width / image_patch) * image_pitch : image.width;
  return 4 * std::uint64_t(image.height) * width;
}

std::vector<std::uint8_t> Build::image_for_frame(const std::vector<std::uint8_t>& pixels) const {
  const std::size_t expected = std::size_t(3) * image.height * image.width;
  if (pixels.size() != expected) {
    throw Error("image of " + std::to_string(pixels.size()) + " bytes, build " + name + " needs " + std::to_string(expected) + " (" +
                std::to_string(image.height) + "x" + std::to_string(image.width) + " RGB); prepare it first");
  }
  const std::size_t run = image_patch != 0 ? image_patch : image.width, pitch = image_patch != 0 ? image_pitch : image.width;
  std::vector<std::uint8_t> out(image_bytes());
  const std::uint8_t* from = pixels.data();
  for (std::size_t start = 0; start < out.size(); start += 4 * pitch) {
    for (std::size_t pixel = 0; pixel < run; pixel++, from += 3) {
      for (std::size_t c = 0; c < 3; c++) out[start + 4 * pixel + c] = std::uint8_t(from[c] ^ 0x80);
    }
  }
  return out;
}

std::vector<std::int16_t> Build::read_output(const std::uint8_t* frame, const Task& task) const {
  const std::size_t pixels = std::size_t(task.height) * task.width;
  std::vector<std::int16_t> out(pixels * task.channels);
  const std::uint8_t* from = frame + task.output_offset;
  std::size_t at = 0;
  for (std::size_t pixel = 0; pixel < pixels; pixel++, from += 2 * std::size_t(task.stored_channels)) {
    for (std::size_t c = 0; c < task.channels; c++) out[at++] = std::int16_t(std::uint16_t(from[2 * c] | from[2 * c + 1] << 8));
  }
  return out;
}

}  // namespace moesaic
