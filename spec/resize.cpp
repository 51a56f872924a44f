// The two filters of moesaic.spec.resize, for images of three 8-bit channels. Every sum is exact, so that the result is numpy's bit for bit.

#include <cstdint>
#include <vector>

namespace {

using Byte = std::uint8_t;
using Index = std::int64_t;
using Integer = std::int32_t;

constexpr Index CHANNELS = 3;

}  // namespace

extern "C" {

// For each of `size` target pixels: the first source pixel that counts, how many do, and their weights, `longest` apart.
struct Taps {
    const Integer *first;
    const Integer *count;
    const Integer *weights;
    Index longest;
    Index size;
};

}  // extern "C"

namespace {

Integer sum_of_weights(const Taps &taps, Index target) {
    Integer sum = 0;
    for (Index i = 0; i < taps.count[target]; ++i) sum += taps.weights[target * taps.longest + i];
    return sum;
}

// line[0..size) = the weighted sum of the image's rows for a target row; Sum holds it exactly.
template <typename Sum>
void add_rows(const Byte *image, Index pitch, const Taps &taps, Index target, Sum *line, Index size) {
    const Integer *weights = taps.weights + target * taps.longest;
    const Byte *row = image + taps.first[target] * pitch;
    const Index count = taps.count[target];
    for (Index x = 0; x < size; ++x) line[x] = 0;
    Index i = 0;
    for (; i + 3 < count; i += 4, row += 4 * pitch) {  // four at a time: `line` is read and written less often
        const Byte *a = row, *b = a + pitch, *c = b + pitch, *d = c + pitch;
        const Sum p = Sum(weights[i]), q = Sum(weights[i + 1]), r = Sum(weights[i + 2]), s = Sum(weights[i + 3]);
        for (Index x = 0; x < size; ++x) line[x] += p * Sum(a[x]) + q * Sum(b[x]) + r * Sum(c[x]) + s * Sum(d[x]);
    }
    for (; i < count; ++i, row += pitch) {
        const Sum weight = Sum(weights[i]);
        for (Index x = 0; x < size; ++x) line[x] += weight * Sum(row[x]);
    }
}

template <typename Sum>
void resize_linear(const Byte *image, Index pitch, Index columns, const Taps &vertical, const Taps &horizontal, Byte *out) {
    std::vector<Sum> line(columns * CHANNELS);
    std::vector<double> pixels(columns * 4);  // a fourth channel of zeros fills a vector register
    std::vector<double> weights(horizontal.weights, horizontal.weights + horizontal.size * horizontal.longest);
    std::vector<double> across(horizontal.size);
    for (Index x = 0; x < horizontal.size; ++x) across[x] = sum_of_weights(horizontal, x);
    for (Index y = 0; y < vertical.size; ++y) {
        add_rows(image, pitch, vertical, y, line.data(), columns * CHANNELS);
        for (Index x = 0; x < columns; ++x) {
            for (Index c = 0; c < CHANNELS; ++c) pixels[4 * x + c] = line[CHANNELS * x + c];
        }
        const double down = sum_of_weights(vertical, y);
        for (Index x = 0; x < horizontal.size; ++x, out += CHANNELS) {
            double total[4] = {0, 0, 0, 0};
            const double *pixel = pixels.data() + 4 * horizontal.first[x];
            const double *weight = weights.data() + x * horizontal.longest;
            for (Index i = 0; i < horizontal.count[x]; ++i, pixel += 4) {
                for (Index c = 0; c < 4; ++c) total[c] += weight[i] * pixel[c];
            }
            const double divisor = down * across[x], half = double(Index(divisor) / 2);
            for (Index c = 0; c < CHANNELS; ++c) out[c] = Byte((total[c] + half) / divisor);
        }
    }
}

constexpr int CUBIC_BITS = 22;

Byte rounded(Integer sum) {
    const Integer value = (sum + (1 << (CUBIC_BITS - 1))) >> CUBIC_BITS;
    return Byte(value < 0 ? 0 : value > 255 ? 255 : value);
}

}  // namespace

extern "C" {

// Mean weighted along both axes, rounded once, halves upwards. image: rows `pitch` bytes apart, of `columns` pixels of 3 bytes.
// out: vertical.size x horizontal.size pixels. wide: sums of rows need 53 bits, otherwise 24 are enough.
void moesaic_resize_linear(
    const Byte *image, Index pitch, Index columns, const Taps *vertical, const Taps *horizontal, Index wide, Byte *out) {
    if (wide) {
        resize_linear<double>(image, pitch, columns, *vertical, *horizontal, out);
    } else {
        resize_linear<float>(image, pitch, columns, *vertical, *horizontal, out);
    }
}

// Sum of a row's pixels weighted along it, in units of 2**-22, rounded to 8 bits. image: `rows` rows, `pitch` bytes apart.
// out: rows x taps.size pixels.
void moesaic_resize_rows_cubic(const Byte *image, Index pitch, Index rows, const Taps *taps, Byte *out) {
    for (Index y = 0; y < rows; ++y, image += pitch) {
        for (Index x = 0; x < taps->size; ++x, out += CHANNELS) {
            Integer total[CHANNELS] = {0, 0, 0};
            const Byte *pixel = image + CHANNELS * taps->first[x];
            const Integer *weight = taps->weights + x * taps->longest;
            for (Index i = 0; i < taps->count[x]; ++i, pixel += CHANNELS) {
                for (Index c = 0; c < CHANNELS; ++c) total[c] += weight[i] * pixel[c];
            }
            for (Index c = 0; c < CHANNELS; ++c) out[c] = rounded(total[c]);
        }
    }
}

// The same along columns. columns: pixels in a row. out: taps.size x columns pixels.
void moesaic_resize_columns_cubic(const Byte *image, Index pitch, Index columns, const Taps *taps, Byte *out) {
    std::vector<Integer> line(columns * CHANNELS);
    for (Index y = 0; y < taps->size; ++y) {
        add_rows(image, pitch, *taps, y, line.data(), columns * CHANNELS);
        for (Index x = 0; x < columns * CHANNELS; ++x) *out++ = rounded(line[x]);
    }
}

}  // extern "C"
