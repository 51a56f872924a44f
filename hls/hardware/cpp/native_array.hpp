// The array's sums on the vector instructions of the processor that the emulator is compiled for; synthesis does not see this file.
#ifndef MOESAIC_NATIVE_ARRAY_HPP
#define MOESAIC_NATIVE_ARRAY_HPP

#ifdef MOESAIC_AP_TYPES
#else
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "configuration.hpp"

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace moesaic {
namespace native {

// Each structure below is one kind of vector. A lane holds a 32-bit sum of products of DOT_BYTES weights of one column with as many
// values of a row; the lanes of a word of the weight memory are in the order of its bytes. SUMS: registers that sums may take.
// WEIGHT_OFFSET: what `weights` adds to each weight where an instruction wants an unsigned factor; it is taken off the sums again.
// `row`: TILE_DEPTH values, over and over.

struct Scalar {
  static constexpr int DOT_BYTES = TILE_DEPTH, SUMS = 8, WEIGHT_OFFSET = 0;
  typedef int32_t Sum;
  struct Factors {
    int8_t value[DOT_BYTES];
  };
  static Sum zero() { return 0; }
  static Factors weights(const uint8_t *bytes) {
    Factors factors;
    std::memcpy(factors.value, bytes, DOT_BYTES);
    return factors;
  }
  template <typename Values>
  static Factors row(Values values) {
    return weights(reinterpret_cast<const uint8_t *>(&values));
  }
  static Sum add(Sum sum, Factors weights, Factors row) {
    for (int i = 0; i < DOT_BYTES; i++) sum += weights.value[i] * row.value[i];
    return sum;
  }
  static void store(int32_t *lanes, Sum sum) { *lanes = sum; }
};

#if defined(__SSE2__)
struct Sse2 {
  static constexpr int DOT_BYTES = 2, SUMS = 8, WEIGHT_OFFSET = 0;
  typedef __m128i Sum;
  typedef __m128i Factors;
  static Sum zero() { return _mm_setzero_si128(); }
  static Factors widen(__m128i bytes) { return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8); }
  static Factors weights(const uint8_t *bytes) {
    return widen(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(bytes)));
  }
  static Factors row(uint32_t four) { return widen(_mm_set1_epi32(int32_t(four))); }
  static Factors row(uint64_t eight) { return widen(_mm_set1_epi64x(int64_t(eight))); }
  static Sum add(Sum sum, Factors weights, Factors row) { return _mm_add_epi32(sum, _mm_madd_epi16(weights, row)); }
  static void store(int32_t *lanes, Sum sum) { _mm_storeu_si128(reinterpret_cast<__m128i *>(lanes), sum); }
};
#endif

#if defined(__AVX2__)
struct Avx2 {
  static constexpr int DOT_BYTES = 2, SUMS = 8, WEIGHT_OFFSET = 0;
  typedef __m256i Sum;
  typedef __m256i Factors;
  static Sum zero() { return _mm256_setzero_si256(); }
  static Factors weights(const uint8_t *bytes) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(bytes)));
  }
  static Factors row(uint32_t four) { return _mm256_cvtepi8_epi16(_mm_set1_epi32(int32_t(four))); }
  static Factors row(uint64_t eight) { return _mm256_cvtepi8_epi16(_mm_set1_epi64x(int64_t(eight))); }
  static Sum add(Sum sum, Factors weights, Factors row) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(weights, row));
  }
  static void store(int32_t *lanes, Sum sum) { _mm256_storeu_si256(reinterpret_cast<__m256i *>(lanes), sum); }
};
#endif

#if defined(__AVX512VNNI__)
struct Avx512 {
  static constexpr int DOT_BYTES = 4, SUMS = 24, WEIGHT_OFFSET = 128;
  typedef __m512i Sum;
  typedef __m512i Factors;
  static Sum zero() { return _mm512_setzero_si512(); }
  static Factors weights(const uint8_t *bytes) {
    return _mm512_xor_si512(_mm512_loadu_si512(bytes), _mm512_set1_epi32(int32_t(0x80808080)));
  }
  static Factors row(uint32_t four) { return _mm512_set1_epi32(int32_t(four)); }
  static Factors row(uint64_t eight) { return _mm512_set1_epi64(int64_t(eight)); }
  static Sum add(Sum sum, Factors weights, Factors row) { return _mm512_dpbusd_epi32(sum, weights, row); }
  static void store(int32_t *lanes, Sum sum) { _mm512_storeu_si512(lanes, sum); }
};
#endif

#if defined(__ARM_NEON)
struct Neon {
  static constexpr int SUMS = 16, WEIGHT_OFFSET = 0;
  typedef int32x4_t Sum;
  static Sum zero() { return vdupq_n_s32(0); }
  static void store(int32_t *lanes, Sum sum) { vst1q_s32(lanes, sum); }
#if defined(__ARM_FEATURE_DOTPROD)
  static constexpr int DOT_BYTES = 4;
  typedef int8x16_t Factors;
  static Factors weights(const uint8_t *bytes) { return vreinterpretq_s8_u8(vld1q_u8(bytes)); }
  static Factors row(uint32_t four) { return vreinterpretq_s8_u32(vdupq_n_u32(four)); }
  static Factors row(uint64_t eight) { return vreinterpretq_s8_u64(vdupq_n_u64(eight)); }
  static Sum add(Sum sum, Factors weights, Factors row) { return vdotq_s32(sum, weights, row); }
#else
  static constexpr int DOT_BYTES = 2;
  typedef int8x8_t Factors;
  static Factors weights(const uint8_t *bytes) { return vreinterpret_s8_u8(vld1_u8(bytes)); }
  static Factors row(uint32_t four) { return vreinterpret_s8_u32(vdup_n_u32(four)); }
  static Factors row(uint64_t eight) { return vreinterpret_s8_u64(vdup_n_u64(eight)); }
  static Sum add(Sum sum, Factors weights, Factors row) { return vpadalq_s16(sum, vmull_s8(weights, row)); }
#endif
};
#endif

constexpr int WORD_BYTES = TILE_COLUMNS * TILE_DEPTH;

// The bytes of a word that a vector takes, and whether words are whole vectors.
template <typename Kind>
constexpr int vector_bytes() {
  return Kind::DOT_BYTES * int(sizeof(typename Kind::Sum) / sizeof(int32_t));
}
template <typename Kind>
constexpr bool fits() {
  return WORD_BYTES % vector_bytes<Kind>() == 0 && vector_bytes<Kind>() % TILE_DEPTH == 0;
}

#if defined(__AVX512VNNI__) && defined(__AVX2__)
typedef std::conditional<fits<Avx512>(), Avx512, Avx2>::type Best;
#elif defined(__AVX2__)
typedef Avx2 Best;
#elif defined(__SSE2__)
typedef Sse2 Best;
#elif defined(__ARM_NEON)
typedef std::conditional<fits<Neon>(), Neon, Scalar>::type Best;
#else
typedef Scalar Best;
#endif

typedef std::conditional<TILE_DEPTH == 8, uint64_t, uint32_t>::type RowValues;

// Calls `body` with the constants from 0 on. Sums stay in registers only where g++ sees no loop around them.
template <typename Body, int... Index>
__attribute__((always_inline)) inline void each(std::integer_sequence<int, Index...>, const Body &body) {
  const int called[] = {(body(std::integral_constant<int, Index>()), 0)...};
  static_cast<void>(called);
}

// What WEIGHT_OFFSET adds to each sum of a row of `count` values.
template <typename Kind>
inline int32_t row_offset(const int8_t *values, uint32_t count) {
  int32_t total = 0;
  if (Kind::WEIGHT_OFFSET != 0) {
    for (uint32_t l = 0; l < count; l++) total += values[l];
  }
  return Kind::WEIGHT_OFFSET * total;
}

// Sums of Rows rows of values, `pitch` bytes apart, over `steps` words; sums[r][c] is that of column c. offsets: row_offset of each row.
template <typename Kind, int Rows>
inline void multiply_rows(const int8_t *values, uint32_t pitch, const int32_t *offsets, const uint8_t *const *words,
                          uint32_t steps, int32_t (*sums)[TILE_COLUMNS]) {
  constexpr int VECTORS = WORD_BYTES / vector_bytes<Kind>();
  constexpr int LANES = VECTORS * int(sizeof(typename Kind::Sum) / sizeof(int32_t));
  const std::make_integer_sequence<int, Rows> rows{};
  const std::make_integer_sequence<int, VECTORS> vectors{};
  typename Kind::Sum sum[Rows][VECTORS];
  each(rows, [&](auto r) __attribute__((always_inline)) {
    each(vectors, [&](auto v) __attribute__((always_inline)) { sum[r][v] = Kind::zero(); });
  });
  for (uint32_t k = 0; k < steps; k++) {
    typename Kind::Factors weights[VECTORS];
    each(vectors, [&](auto v) __attribute__((always_inline)) {
      weights[v] = Kind::weights(words[k] + v * vector_bytes<Kind>());
    });
    each(rows, [&](auto r) __attribute__((always_inline)) {
      RowValues part;
      std::memcpy(&part, values + r * pitch + k * TILE_DEPTH, sizeof part);
      const typename Kind::Factors row = Kind::row(part);
      each(vectors, [&](auto v) __attribute__((always_inline)) { sum[r][v] = Kind::add(sum[r][v], weights[v], row); });
    });
  }
  each(rows, [&](auto r) __attribute__((always_inline)) {
    int32_t lanes[LANES];
    each(vectors, [&](auto v) __attribute__((always_inline)) {
      Kind::store(lanes + v * (LANES / VECTORS), sum[r][v]);
    });
    for (int c = 0; c < TILE_COLUMNS; c++) {
      int32_t whole = -offsets[r];
      for (int l = 0; l < LANES / TILE_COLUMNS; l++) whole += lanes[c * (LANES / TILE_COLUMNS) + l];
      sums[r][c] = whole;
    }
  });
}

// The same for any number of rows, as many at a time as registers hold.
template <typename Kind>
inline void multiply_tile(const int8_t *values, uint32_t pitch, const int32_t *offsets, int rows,
                          const uint8_t *const *words, uint32_t steps, int32_t (*sums)[TILE_COLUMNS]) {
  constexpr int VECTORS = WORD_BYTES / vector_bytes<Kind>();
  constexpr int TOGETHER = Kind::SUMS > VECTORS ? Kind::SUMS / VECTORS : 1;
  int r = 0;
  for (; r + TOGETHER <= rows; r += TOGETHER) {
    multiply_rows<Kind, TOGETHER>(values + uint32_t(r) * pitch, pitch, offsets + r, words, steps, sums + r);
  }
  for (; r < rows; r++) multiply_rows<Kind, 1>(values + uint32_t(r) * pitch, pitch, offsets + r, words, steps, sums + r);
}

}  // namespace native
}  // namespace moesaic

#endif

#endif
