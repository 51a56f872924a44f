// Decodes outputs, as moesaic.spec.predictions does.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "moesaic/moesaic.hpp"
#include "tables.hpp"

namespace moesaic {
namespace {

// A classification's logits in units of raw; the sums over integer rows are exact.
std::vector<double> logits(const Task& task, const std::vector<std::int16_t>& raw) {
  const std::size_t classes = task.channels, rows = task.width;
  const bool first_apart = task.pooling == tables::POOLING_CLASS_AND_MEAN;
  const std::size_t summed = first_apart ? rows - 1 : rows;
  std::vector<double> out(classes);
  for (std::size_t c = 0; c < classes; c++) {
    std::int64_t sum = 0;
    for (std::size_t row = rows - summed; row < rows; row++) sum += raw[row * classes + c];
    out[c] = (first_apart ? double(raw[c]) : 0.0) + double(sum) / double(summed);
  }
  return out;
}

std::vector<float> class_probabilities(const Task& task, const std::vector<std::int16_t>& raw) {
  std::vector<double> powers = logits(task, raw);
  for (double& value : powers) value *= task.output_scale;
  const double most = *std::max_element(powers.begin(), powers.end());
  for (double& value : powers) value = std::exp(value - most);
  const double sum = std::accumulate(powers.begin(), powers.end(), 0.0);
  std::vector<float> out;
  for (const double value : powers) out.push_back(float(value / sum));
  return out;
}

float probability(double value) {
  // 1 / (1 + exp(-value)), by the logarithm of the sum so that neither end overflows.
  const double negative = -value;
  const double log_sum = negative > 0 ? negative + std::log1p(std::exp(-negative)) : std::log1p(std::exp(negative));
  return float(std::exp(-log_sum));
}

float metres(const OutputDescription& output, double value) {
  if (output.logarithmic) return float(output.metres_per_unit * std::exp(value));
  return float(std::max(output.metres_per_unit * value, tables::LEAST_DEPTH));
}

void append_normal(const OutputDescription& output, const std::array<double, 3>& value, std::vector<float>& out) {
  std::array<double, 3> turned = {};
  for (std::size_t axis = 0; axis < 3; axis++) {
    for (std::size_t c = 0; c < 3; c++) turned[axis] += output.axes[axis][c] * value[c];
  }
  const double length = std::sqrt(turned[0] * turned[0] + turned[1] * turned[1] + turned[2] * turned[2]);
  for (std::size_t axis = 0; axis < 3; axis++) {
    out.push_back(float(length > 0 ? turned[axis] / length : tables::TOWARDS_VIEWER[axis]));
  }
}

}  // namespace

Prediction decode(const Task& task, const std::vector<std::int16_t>& raw) {
  const std::size_t pixels = std::size_t(task.height) * task.width, channels = task.channels;
  if (raw.size() != pixels * channels) {
    throw Error("task " + task.name + ": an output of " + std::to_string(raw.size()) + " values where " +
                std::to_string(pixels * channels) + " belong; take it from Build::read_output");
  }
  Prediction out;
  out.shape = {task.height, task.width};
  const std::string& decoding = task.output.decoding;
  if (decoding == tables::DECODING_CLASSES) {
    for (auto at = raw.begin(); at != raw.end(); at += std::ptrdiff_t(channels)) {
      out.classes.push_back(std::uint8_t(std::max_element(at, at + std::ptrdiff_t(channels)) - at));
    }
    return out;
  }
  if (task.kind == tables::KIND_CLASSIFICATION) {
    out.shape = {channels};
    out.values = class_probabilities(task, raw);
    return out;
  }
  const auto value = [&](std::size_t pixel, std::size_t c) { return double(raw[pixel * channels + c]) * task.output_scale; };
  if (task.kind == tables::KIND_FEATURES) {
    out.shape = {task.width, channels};
    for (std::size_t at = 0; at < std::size_t(task.width) * channels; at++) out.values.push_back(float(double(raw[at]) * task.output_scale));
    return out;
  }
  if (channels > 1) out.shape.push_back(channels);
  for (std::size_t pixel = 0; pixel < pixels; pixel++) {
    if (decoding == tables::DECODING_DIRECTIONS) {
      append_normal(task.output, {value(pixel, 0), value(pixel, 1), value(pixel, 2)}, out.values);
    } else if (decoding == tables::DECODING_METRES) {
      out.values.push_back(metres(task.output, value(pixel, 0)));
    } else {
      for (std::size_t c = 0; c < channels; c++) {
        out.values.push_back(decoding == tables::DECODING_PROBABILITIES ? probability(value(pixel, c)) : float(value(pixel, c)));
      }
    }
  }
  return out;
}

std::vector<ClassScore> Result::top(std::size_t count) const {
  if (task.kind != tables::KIND_CLASSIFICATION) {
    throw Error("task " + task.name + " is of kind " + task.kind + ": only a classification has most probable classes");
  }
  const std::vector<float>& values = prediction.values;
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
  std::vector<ClassScore> out;
  for (std::size_t i = 0; i < std::min(count, order.size()); i++) {
    const std::size_t index = order[i];
    const std::string label = index < task.class_names.size() ? task.class_names[index] : "class " + std::to_string(index);
    out.push_back({index, label, values[index]});
  }
  return out;
}

}  // namespace moesaic
