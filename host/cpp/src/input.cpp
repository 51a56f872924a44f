// Brings an image to a network's size, with the integers of moesaic.spec.placement and moesaic.spec.resize.
//
// Compile without contraction of floating-point expressions: the weights of the cubic filter are rounded step by step.
#include <algorithm>
#include <cmath>
#include <string>

#include "moesaic/moesaic.hpp"
#include "tables.hpp"

namespace moesaic {
namespace {

constexpr double kRoundingPixels = 1e-6;  // a crop ratio such as 224 / 256 is a rounded number
constexpr int kCubicBits = 22;

// The part of an image that is resized; channels stay in their order.
struct Source {
  const std::uint8_t* pixels;
  std::size_t row_bytes;
  std::int64_t height, width;

  const std::uint8_t* row(std::int64_t index) const { return pixels + std::size_t(index) * row_bytes; }
};

// Some rows or columns of the resized image.
struct Range {
  std::int64_t first, count;
};

// How one pixel of the resized image comes from a run of pixels of the source.
struct Weights {
  std::int64_t first = 0;
  std::vector<std::int64_t> of;
  std::int64_t sum = 0;
};

// Of a linear filter, see moesaic.spec.resize.triangle_weights.
Weights triangle_weights(std::int64_t source, std::int64_t target, std::int64_t index) {
  const std::int64_t centre = (2 * index + 1) * source, reach = 2 * std::max(source, target);
  // The pixels j with |(2 j + 1) target - centre| < reach.
  const std::int64_t first = std::max<std::int64_t>(0, (centre - reach - target) / (2 * target));
  const std::int64_t last = std::min(source - 1, (centre + reach) / (2 * target));
  Weights weights;
  for (std::int64_t j = first; j <= last; j++) {
    const std::int64_t weight = reach - std::abs((2 * j + 1) * target - centre);
    if (weight <= 0) continue;
    if (weights.of.empty()) weights.first = j;
    weights.of.push_back(weight);
    weights.sum += weight;
  }
  return weights;
}

// Of Pillow's BICUBIC, see moesaic.spec.resize.cubic_weights.
Weights cubic_weights(std::int64_t source, std::int64_t target, std::int64_t index) {
  const double ratio = double(source) / double(target), widening = std::max(ratio, 1.0);
  const double centre = (double(index) + 0.5) * ratio;
  const auto first = std::max<std::int64_t>(0, std::int64_t(std::floor(centre - 2 * widening)) - 2);
  const auto last = std::min(source - 1, std::int64_t(std::ceil(centre + 2 * widening)) + 2);
  std::vector<double> values;
  double sum = 0;
  for (std::int64_t j = first; j <= last; j++) {
    const double x = std::abs((double(j) - centre + 0.5) * (1.0 / widening));
    const double near = ((1.5 * x) - 2.5) * x * x + 1, far = (((x - 5) * x + 8) * x - 4) * -0.5;
    values.push_back(x < 1 ? near : x < 2 ? far : 0.0);
    sum += values.back();
  }
  Weights weights;
  weights.first = first;
  for (const double value : values) {
    const double share = value / sum;
    weights.of.push_back(std::int64_t(std::trunc(share * double(1 << kCubicBits) + std::copysign(0.5, share))));
  }
  return weights;
}

using MakeWeights = Weights (*)(std::int64_t, std::int64_t, std::int64_t);

std::vector<Weights> all_weights(MakeWeights make, std::int64_t source, std::int64_t target, Range part) {
  std::vector<Weights> out;
  out.reserve(std::size_t(part.count));
  for (std::int64_t i = 0; i < part.count; i++) out.push_back(make(source, target, part.first + i));
  return out;
}

// The source's columns, as far as any of the weights reads them.
Range columns_read(const std::vector<Weights>& weights) {
  std::int64_t first = weights.front().first, end = 0;
  for (const Weights& w : weights) {
    first = std::min(first, w.first);
    end = std::max(end, w.first + std::int64_t(w.of.size()));
  }
  return {first, end - first};
}

// The triangle filter along both axes, exact until it is rounded once, halves upwards. Sum: holds 255 times the sum of a row's weights.
template <typename Sum>
void resize_linear(const Source& source, const std::vector<Weights>& down, const std::vector<Weights>& across, std::uint8_t* out) {
  const Range columns = columns_read(across);
  const auto values = std::size_t(3 * columns.count);
  std::vector<Sum> line(values);
  for (const Weights& vertical : down) {
    std::fill(line.begin(), line.end(), Sum(0));
    for (std::size_t j = 0; j < vertical.of.size(); j++) {
      const auto weight = Sum(vertical.of[j]);
      const std::uint8_t* row = source.row(vertical.first + std::int64_t(j)) + 3 * columns.first;
      for (std::size_t i = 0; i < values; i++) line[i] = Sum(line[i] + weight * row[i]);
    }
    for (const Weights& horizontal : across) {
      std::uint64_t total[3] = {};
      const Sum* from = line.data() + 3 * (horizontal.first - columns.first);
      for (const std::int64_t weight : horizontal.of) {
        for (int c = 0; c < 3; c++) total[c] += std::uint64_t(weight) * from[c];
        from += 3;
      }
      const auto divisor = std::uint64_t(vertical.sum) * std::uint64_t(horizontal.sum);
      for (int c = 0; c < 3; c++) *out++ = std::uint8_t((total[c] + divisor / 2) / divisor);
    }
  }
}

std::uint8_t rounded_cubic(std::int64_t total) {
  const std::int64_t half = std::int64_t(1) << (kCubicBits - 1), one = std::int64_t(1) << kCubicBits;
  const std::int64_t shifted = total + half;
  return shifted < 0 ? std::uint8_t(0) : std::uint8_t(std::min<std::int64_t>(255, shifted / one));
}

// The cubic filter along rows, rounded to 8 bits, then along columns. A side that keeps its length is left alone.
void resize_cubic(const Source& source, Size resized, Range rows, Range columns, std::uint8_t* out) {
  Range read = rows;  // the source's rows that the second pass needs
  std::vector<Weights> down;
  if (source.height != resized.height) {
    down = all_weights(cubic_weights, source.height, resized.height, rows);
    read = columns_read(down);
  }
  const auto width = std::size_t(3 * columns.count);
  std::vector<std::uint8_t> lines(std::size_t(read.count) * width);
  std::vector<Weights> across;
  if (source.width != resized.width) across = all_weights(cubic_weights, source.width, resized.width, columns);
  for (std::int64_t y = 0; y < read.count; y++) {
    const std::uint8_t* row = source.row(read.first + y);
    std::uint8_t* line = lines.data() + std::size_t(y) * width;
    if (across.empty()) {
      std::copy_n(row + 3 * columns.first, width, line);
      continue;
    }
    for (const Weights& horizontal : across) {
      std::int64_t total[3] = {};
      const std::uint8_t* from = row + 3 * horizontal.first;
      for (const std::int64_t weight : horizontal.of) {
        for (int c = 0; c < 3; c++) total[c] += weight * from[c];
        from += 3;
      }
      for (int c = 0; c < 3; c++) *line++ = rounded_cubic(total[c]);
    }
  }
  if (down.empty()) {
    std::copy(lines.begin(), lines.end(), out);
    return;
  }
  std::vector<std::int64_t> total(width);
  for (const Weights& vertical : down) {
    std::fill(total.begin(), total.end(), 0);
    for (std::size_t j = 0; j < vertical.of.size(); j++) {
      const std::uint8_t* line = lines.data() + std::size_t(vertical.first - read.first + std::int64_t(j)) * width;
      for (std::size_t i = 0; i < width; i++) total[i] += vertical.of[j] * line[i];
    }
    for (const std::int64_t value : total) *out++ = rounded_cubic(value);
  }
}

// Part of a resized image, three bytes a pixel.
std::vector<std::uint8_t> resize(const Source& source, std::int64_t height, std::int64_t width, const std::string& interpolation,
                                 Range rows, Range columns) {
  std::vector<std::uint8_t> out(std::size_t(3 * rows.count * columns.count));
  if (source.height == height && source.width == width) {
    for (std::int64_t y = 0; y < rows.count; y++) {
      std::copy_n(source.row(rows.first + y) + 3 * columns.first, 3 * columns.count, out.data() + 3 * y * columns.count);
    }
  } else if (interpolation == tables::INTERPOLATION_CUBIC) {
    resize_cubic(source, {std::uint32_t(height), std::uint32_t(width)}, rows, columns, out.data());
  } else {
    const auto down = all_weights(triangle_weights, source.height, height, rows);
    const auto across = all_weights(triangle_weights, source.width, width, columns);
    std::int64_t largest = 0;
    for (const Weights& weights : down) largest = std::max(largest, weights.sum);
    const bool fits = largest < (std::int64_t(1) << 32) / 255;
    (fits ? resize_linear<std::uint32_t> : resize_linear<std::uint64_t>)(source, down, across, out.data());
  }
  return out;
}

struct Sides {
  std::int64_t height, width;
};

// To what a whole image is resized before it is cut or padded.
Sides resized_sides(const InputDescription& input, Sides image, Sides size) {
  const auto enlarged = [&](std::int64_t side) { return std::int64_t(std::floor(double(side) / input.crop_ratio + kRoundingPixels)); };
  const std::int64_t rows = enlarged(size.height), columns = enlarged(size.width);
  if (input.resize == tables::RESIZE_STRETCH) return {rows, columns};
  if (input.resize == tables::RESIZE_CROP) {
    if (rows * image.width >= columns * image.height) return {rows, rows * image.width / image.height};
    return {columns * image.height / image.width, columns};
  }
  if (size.height * image.width <= size.width * image.height) {
    return {size.height, std::max<std::int64_t>(1, (2 * image.width * size.height + image.height) / (2 * image.height))};
  }
  return {std::max<std::int64_t>(1, (2 * image.height * size.width + image.width) / (2 * image.width)), size.width};
}

Placement place(const InputDescription& input, Size image, Size size) {
  const Sides own = {image.height, image.width}, wanted = {size.height, size.width};
  Placement placement;
  placement.image = image;
  placement.size = size;
  if (input.resize == tables::RESIZE_AUTO) {
    const std::int64_t rows = std::min(own.height, std::max<std::int64_t>(1, own.width * wanted.height / wanted.width));
    const std::int64_t columns = std::min(own.width, std::max<std::int64_t>(1, own.height * wanted.width / wanted.height));
    placement.source = {(own.height - rows) / 2, (own.width - columns) / 2, rows, columns};
    placement.resized_height = wanted.height;
    placement.resized_width = wanted.width;
    return placement;
  }
  const Sides resized = resized_sides(input, own, wanted);
  const bool centred = input.resize != tables::RESIZE_PAD || input.pad_side == tables::PAD_SIDE_BOTH;
  placement.source = {0, 0, own.height, own.width};
  placement.resized_height = resized.height;
  placement.resized_width = resized.width;
  // Division rounds towards zero: half of a cut and half of the padding are both rounded down.
  placement.window_top = centred ? (resized.height - wanted.height) / 2 : 0;
  placement.window_left = centred ? (resized.width - wanted.width) / 2 : 0;
  return placement;
}

}  // namespace

Placement::Box Placement::filled() const {
  const auto along = [](std::int64_t window, std::int64_t whole, std::int64_t side) {
    const std::int64_t start = std::max<std::int64_t>(0, -window);
    return std::pair(start, std::min(side, whole - window) - start);
  };
  const auto [top, height] = along(window_top, resized_height, size.height);
  const auto [left, width] = along(window_left, resized_width, size.width);
  return {top, left, height, width};
}

Placement::RealBox Placement::seen() const {
  const Box shown = filled();
  const double down = double(source.height) / double(resized_height), across = double(source.width) / double(resized_width);
  return {double(source.top) + down * double(window_top + shown.top), double(source.left) + across * double(window_left + shown.left),
          down * double(shown.height), across * double(shown.width)};
}

PreparedImage prepare(const ImageView& image, const InputDescription& input, Size size) {
  const auto fits = [](std::uint32_t side) { return side >= 1 && side <= tables::LARGEST_SIDE; };
  if (image.pixels == nullptr || !fits(image.height) || !fits(image.width)) {
    throw Error("the image has " + std::to_string(image.width) + "x" + std::to_string(image.height) + " pixels" +
                (image.pixels == nullptr ? " at a null pointer" : "") + "; a side may have 1 to " +
                std::to_string(tables::LARGEST_SIDE) + ", shrink it first");
  }
  const std::size_t row_bytes = image.row_bytes != 0 ? image.row_bytes : std::size_t(3) * image.width;
  if (row_bytes < std::size_t(3) * image.width) {
    throw Error("the image has rows of " + std::to_string(row_bytes) + " bytes, " + std::to_string(image.width) +
                " pixels take " + std::to_string(3 * image.width) + "; state row_bytes in bytes, or 0");
  }
  PreparedImage prepared;
  const Placement& placement = prepared.placement = place(input, {image.height, image.width}, size);
  const Placement::Box& box = placement.source;
  const Source source = {image.pixels + std::size_t(box.top) * row_bytes + std::size_t(3 * box.left), row_bytes, box.height, box.width};
  const Placement::Box filled = placement.filled();
  std::vector<std::uint8_t> shown =
      resize(source, placement.resized_height, placement.resized_width, input.interpolation,
             {std::max<std::int64_t>(0, placement.window_top), filled.height},
             {std::max<std::int64_t>(0, placement.window_left), filled.width});
  if (image.order == PixelOrder::bgr) {
    for (std::size_t at = 0; at < shown.size(); at += 3) std::swap(shown[at], shown[at + 2]);
  }
  if (filled.height == size.height && filled.width == size.width) {
    prepared.pixels = std::move(shown);
    return prepared;
  }
  prepared.pixels.resize(std::size_t(3) * size.height * size.width);
  for (std::size_t at = 0; at < prepared.pixels.size(); at++) prepared.pixels[at] = input.padding[at % 3];
  for (std::int64_t y = 0; y < filled.height; y++) {
    std::copy_n(shown.data() + 3 * y * filled.width, 3 * filled.width,
                prepared.pixels.data() + 3 * ((filled.top + y) * std::int64_t(size.width) + filled.left));
  }
  return prepared;
}

}  // namespace moesaic
