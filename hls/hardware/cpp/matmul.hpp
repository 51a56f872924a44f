// The matmul unit: row tiles outside, column tiles inside, then steps of TILE_DEPTH; every linear layer runs here.
#ifndef MOESAIC_MATMUL_HPP
#define MOESAIC_MATMUL_HPP

#include "machine.hpp"
#include "matmul_array.hpp"
#include "native_array.hpp"
#include "requantise.hpp"

namespace moesaic {

// The rows of one tile: how many, and where each comes from and goes to.
struct TileRows {
  uint32_t first;
  int count;
  uint32_t source[TILE_ROWS];
  uint32_t target[TILE_ROWS];
  uint32_t score[TILE_ROWS];
};

inline void find_rows(const Matmul &f, const ExpertQueue &queue, uint32_t first, uint32_t rows, TileRows &tile) {
#pragma HLS INLINE
  tile.first = first;
  tile.count = rows - first < uint32_t(TILE_ROWS) ? int(rows - first) : TILE_ROWS;
tile_row_entries:
  for (int i = 0; i < tile.count; i++) {
    // II=1: an entry of the queue is one element of each of two RAMs.
#pragma HLS PIPELINE II=1
    const uint32_t r = first + uint32_t(i);
    const bool queued = f.gather || f.scatter;
    const uint32_t token = queued ? queue.token[f.queue][f.queue_first + r] : r;
    tile.source[i] = f.gather ? token : r;
    tile.target[i] = f.scatter ? token : r;
    tile.score[i] = queued ? queue.score[f.queue][f.queue_first + r] : 0;
  }
}

// Fetches whole words: the operand begins a_address % ACT_WORD_BYTES bytes into the first of them.
inline uint32_t read_operand(const Matmul &f, const ActMemory &act, const TileRows &tile, Operand &operand) {
#pragma HLS INLINE
  const uint32_t words = (f.a_address % ACT_WORD_BYTES + f.depth + ACT_WORD_BYTES - 1) / ACT_WORD_BYTES;
operand_rows:
  for (int i = 0; i < tile.count; i++) {
    const uint64_t address = f.a_address + uint64_t(tile.source[i]) * f.a_pitch;
    if (!inside_act(address, f.depth)) return FAULT_ADDRESS;
  operand_words:
    for (uint32_t w = 0; w < words; w++) {
      // II=1: a word is read, and each of its parts goes to a RAM of its own.
#pragma HLS PIPELINE II=1
      const ActWord word = read_act_word(act, uint32_t(address / ACT_WORD_BYTES) + w);
#pragma HLS ARRAY_PARTITION variable=word.byte type=complete
    operand_parts:
      for (int p = 0; p < OPERAND_PARTS; p++) {
#pragma HLS UNROLL
      operand_bytes:
        for (int l = 0; l < TILE_DEPTH; l++) {
#pragma HLS UNROLL
          operand.row[i][w][p][l] = int8_t(word.byte[p * TILE_DEPTH + l]);
        }
      }
    }
#ifdef MOESAIC_AP_TYPES
#else
    operand.offset[i] = native::row_offset<native::Best>(operand.row[i][0][0] + f.a_address % ACT_WORD_BYTES, f.depth);
#endif
  }
  return FAULT_NONE;
}

#ifdef MOESAIC_AP_TYPES
inline void multiply_tile(const Matmul &f, const Machine &machine, uint64_t b_address, const Operand &operand, int,
                          Accumulators &accumulators) {
#pragma HLS INLINE
clear_rows:
  for (int i = 0; i < TILE_ROWS; i++) {
#pragma HLS UNROLL
  clear_columns:
    for (int c = 0; c < TILE_COLUMNS; c++) {
#pragma HLS UNROLL
      accumulators.sum[i][c] = 0;
    }
  }
  const uint32_t first_part = f.a_address % ACT_WORD_BYTES / TILE_DEPTH;
  const uint32_t first_word = uint32_t(b_address / WEIGHT_WORD_BYTES);
depth_steps:
  for (uint32_t k = 0; k < f.depth / TILE_DEPTH; k++) {
    // II=1: a weight word and a part of every operand row are read; each accumulator is carried by one 32-bit adder.
#pragma HLS PIPELINE II=1
    const WeightWord word = read_weight_word(machine.weight, machine.act, first_word + k);
#pragma HLS ARRAY_PARTITION variable=word.byte type=complete
    array_step(operand, first_part + k, word, accumulators);
  }
}
#else
// The same sums on vector instructions, of the rows that the tile has.
inline void multiply_tile(const Matmul &f, const Machine &machine, uint64_t b_address, const Operand &operand, int rows,
                          Accumulators &accumulators) {
  const uint32_t steps = f.depth / TILE_DEPTH;
  const uint8_t *words[OPERAND_BYTES / TILE_DEPTH];
  for (uint32_t k = 0; k < steps; k++) {
    words[k] = weight_word_bytes(machine.weight, machine.act, uint32_t(b_address / WEIGHT_WORD_BYTES) + k);
  }
  const int8_t *values = operand.row[0][0][0] + f.a_address % ACT_WORD_BYTES;
  native::multiply_tile<native::Best>(values, OPERAND_BYTES, operand.offset, rows, words, steps, accumulators.sum);
}
#endif

// Results of one row, requantised to 16 bits and looked up; a destination may take fewer bits.
struct RowResults {
  int16_t value[TILE_COLUMNS];
};

inline void requantise_row(const Matmul &f, const int32_t *sum, const Parameters &parameters,
                           const RowStatistics &statistics, const GeluTable &table, uint32_t r, RowResults &results) {
#pragma HLS INLINE
  uint32_t row_multiplier = 0;
  uint32_t row_shift = 0;
  if (f.row_scale) {
    const uint32_t shift = statistics.shift[f.row_base + r];
    row_multiplier = statistics.multiplier[f.row_base + r];
    row_shift = shift > f.output_shift ? shift - f.output_shift : 0;
  }
requantise_lanes:
  for (int c = 0; c < TILE_COLUMNS; c++) {
#pragma HLS UNROLL
    const int64_t bias = f.row_scale ? 0 : parameters.bias[c];
    const uint32_t multiplier = f.row_scale ? row_multiplier : parameters.multiplier[c];
    const uint32_t shift = f.row_scale ? row_shift : parameters.shift[c];
    results.value[c] = int16_t(saturate(requantise(sum[c] + bias, multiplier, shift), 16));
  }
  if (f.table_enable) {
  look_up_lanes:
    for (int c = 0; c < TILE_COLUMNS; c++) {
#pragma HLS UNROLL
      results.value[c] = look_up(table, c, f.table_index, results.value[c]);
    }
  }
}

// Where a row of results goes in the activation memory, in bytes; a tile's results lie within one word.
inline uint64_t act_target(const Matmul &f, uint32_t target, uint32_t j) {
#pragma HLS INLINE
  const uint32_t bytes = f.destination == DESTINATION_INT8 ? 1 : 2;
  return f.d_address + uint64_t(target) * f.d_pitch + uint64_t(j) * TILE_COLUMNS * bytes;
}

inline void write_act_row(const Matmul &f, ActMemory &act, const RowResults &results, uint64_t address, uint32_t score,
                          int valid) {
#pragma HLS INLINE
  const uint32_t index = uint32_t(address / ACT_WORD_BYTES);
  const int half = int(address / TILE_COLUMNS % 2);
  ActWord word = read_act_word(act, index);
#pragma HLS ARRAY_PARTITION variable=word.byte type=complete
  if (f.destination == DESTINATION_INT8) {
  write_halves:
    for (int h = 0; h < 2; h++) {
#pragma HLS UNROLL
    write_int8_lanes:
      for (int c = 0; c < TILE_COLUMNS; c++) {
#pragma HLS UNROLL
        const uint8_t before = word.byte[h * TILE_COLUMNS + c];
        const int16_t update = saturate(results.value[c], 8);
        word.byte[h * TILE_COLUMNS + c] = h == half && c < valid ? uint8_t(update & 0xff) : uint8_t(before);
      }
    }
  } else {
  write_int16_lanes:
    for (int c = 0; c < TILE_COLUMNS; c++) {
#pragma HLS UNROLL
      const int16_t before = int16_of(word, c);
      int32_t update = results.value[c];
      if (f.destination == DESTINATION_RESIDUAL) {
        if (f.scatter) update = int32_t(saturate(round_shift(multiply<16, 17>(update, score), 16 - f.score_shift), 16));
        update = saturate(before + update, 16);
      }
      set_int16(word, c, c < valid ? int16_t(update) : before);
    }
  }
  write_act_word(act, index, word);
}

// Keys: results of a row lie TILE_DEPTH together, one group in each of several words.
inline uint32_t write_key_row(const Matmul &f, Machine &machine, const RowResults &results, uint32_t r, uint32_t j,
                              int valid) {
#pragma HLS INLINE
  const uint64_t row = f.d_address + uint64_t(r / TILE_COLUMNS) * f.d_pitch + (r % TILE_COLUMNS) * TILE_DEPTH;
  uint32_t fault = FAULT_NONE;
key_groups:
  for (int g = 0; g < TILE_COLUMNS / TILE_DEPTH; g++) {
    // II=2: a beat is read, then written; every iteration has a word of its own.
#pragma HLS PIPELINE II=2
#pragma HLS DEPENDENCE variable=machine.weight.lane type=inter dependent=false
#pragma HLS DEPENDENCE variable=machine.act.block type=inter dependent=false
#pragma HLS DEPENDENCE variable=machine.act.ultra type=inter dependent=false
    const uint64_t address =
        row + (uint64_t(j) * (TILE_COLUMNS / TILE_DEPTH) + uint64_t(g)) * uint64_t(WEIGHT_WORD_BYTES);
    if (g * TILE_DEPTH < valid) {
      if (inside_weight(address, TILE_DEPTH)) {
        const uint32_t index = uint32_t(address / BEAT_BYTES);
        Beat beat = read_weight_beat(machine.weight, machine.act, index);
      key_lanes:
        for (int l = 0; l < TILE_DEPTH; l++) {
#pragma HLS UNROLL
          if (g * TILE_DEPTH + l < valid) {
            const int16_t value = saturate(results.value[g * TILE_DEPTH + l], 8);
            set_beat_byte(beat, int(address % BEAT_BYTES) + l, uint8_t(value & 0xff));
          }
        }
        write_weight_beat(machine.weight, machine.act, index, beat);
      } else {
        fault = FAULT_ADDRESS;
      }
    }
  }
  return fault;
}

// Values: results of a row are one byte in TILE_DEPTH of one word.
inline uint32_t write_value_row(const Matmul &f, Machine &machine, const RowResults &results, uint32_t r, uint32_t j,
                                int valid) {
#pragma HLS INLINE
  const uint64_t address = f.d_address + uint64_t(j) * f.d_pitch + uint64_t(r / TILE_DEPTH) * WEIGHT_WORD_BYTES;
  if (!inside_weight(address, WEIGHT_WORD_BYTES)) return FAULT_ADDRESS;
  const uint32_t index = uint32_t(address / WEIGHT_WORD_BYTES);
  WeightWord word = read_weight_word(machine.weight, machine.act, index);
#pragma HLS ARRAY_PARTITION variable=word.byte type=complete
value_lanes:
  for (int c = 0; c < TILE_COLUMNS; c++) {
#pragma HLS UNROLL
    if (c < valid) word.byte[c * TILE_DEPTH + int(r % TILE_DEPTH)] = uint8_t(saturate(results.value[c], 8) & 0xff);
  }
  write_weight_word(machine.weight, machine.act, index, word);
  return FAULT_NONE;
}

// The largest of a row's results and what is known of the row already.
inline int16_t largest(const RowResults &results, int valid, int16_t maximum) {
#pragma HLS INLINE
maximum_lanes:
  for (int c = 0; c < TILE_COLUMNS; c++) {
#pragma HLS UNROLL
    if (c < valid && results.value[c] > maximum) maximum = results.value[c];
  }
  return maximum;
}

// A tile of results to the activation memory.
inline uint32_t drain_to_act(const Matmul &f, Machine &machine, const TileRows &tile, const Accumulators &accumulators,
                             const Parameters &parameters, uint32_t j, int valid, int16_t *maximum) {
#pragma HLS INLINE
  uint32_t fault = FAULT_NONE;
drain_rows:
  for (int i = 0; i < tile.count; i++) {
    // II=2: a word is read, then written, and a lane requantises and scales by its score on one multiplier. Rows of a tile have
    // words of their own: a queue holds a token at most once, and hls/compiler/emitter.py lays rows out in whole words.
#pragma HLS PIPELINE II=2
#pragma HLS DEPENDENCE variable=machine.act.block type=inter dependent=false
#pragma HLS DEPENDENCE variable=machine.act.ultra type=inter dependent=false
    RowResults results;
#pragma HLS ARRAY_PARTITION variable=results.value type=complete
    requantise_row(f, accumulators.sum[i], parameters, machine.rows, machine.table, tile.first + uint32_t(i), results);
    const uint64_t address = act_target(f, tile.target[i], j);
    const uint64_t bytes = uint64_t(valid) * (f.destination == DESTINATION_INT8 ? 1 : 2);
    if (fault == FAULT_NONE && inside_act(address, bytes)) {
      write_act_row(f, machine.act, results, address, tile.score[i], valid);
    } else {
      fault = FAULT_ADDRESS;
    }
    if (f.track_max) maximum[i] = largest(results, valid, maximum[i]);
  }
  return fault;
}

// A tile of results to the weight memory.
inline uint32_t drain_to_weight(const Matmul &f, Machine &machine, const TileRows &tile,
                                const Accumulators &accumulators, const Parameters &parameters, uint32_t j, int valid) {
#pragma HLS INLINE
drain_rows:
  for (int i = 0; i < tile.count; i++) {
    const uint32_t r = tile.first + uint32_t(i);
    RowResults results;
#pragma HLS ARRAY_PARTITION variable=results.value type=complete
    requantise_row(f, accumulators.sum[i], parameters, machine.rows, machine.table, r, results);
    const uint32_t fault = f.destination == DESTINATION_KEYS ? write_key_row(f, machine, results, r, j, valid)
                                                             : write_value_row(f, machine, results, r, j, valid);
    if (fault != FAULT_NONE) return fault;
  }
  return FAULT_NONE;
}

// Rows of the product: all, or what the queue holds from queue_first on, up to f.rows.
inline uint32_t product_rows(const Matmul &f, const ExpertQueue &queue) {
  if (!f.gather && !f.scatter) return f.rows;
  const uint32_t count = queue.count[f.queue];
  const uint32_t held = count > f.queue_first ? count - f.queue_first : 0;
  return held < f.rows ? held : f.rows;
}

inline uint32_t matmul(const Matmul &f, Machine &machine, Events &events) {
#pragma HLS INLINE
  const uint32_t rows = product_rows(f, machine.queue);
  if (rows == 0) return FAULT_NONE;
  if ((f.row_scale || f.track_max) && !inside_rows(f.row_base, rows)) return FAULT_ADDRESS;
  const bool to_weight = f.destination == DESTINATION_KEYS || f.destination == DESTINATION_VALUES;
  const uint32_t tiles = (f.columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
  TileRows tile;
  Operand operand;
  Accumulators accumulators;
  Parameters parameters;
  int16_t maximum[TILE_ROWS];
  // Registers: tile, accumulators, parameters, maxima. LUT RAM: an operand row is OPERAND_PARTS memories, TILE_DEPTH bytes wide.
#pragma HLS ARRAY_PARTITION variable=tile.source type=complete
#pragma HLS ARRAY_PARTITION variable=tile.target type=complete
#pragma HLS ARRAY_PARTITION variable=tile.score type=complete
#pragma HLS ARRAY_PARTITION variable=accumulators.sum type=complete dim=0
#pragma HLS ARRAY_PARTITION variable=parameters.bias type=complete
#pragma HLS ARRAY_PARTITION variable=parameters.multiplier type=complete
#pragma HLS ARRAY_PARTITION variable=parameters.shift type=complete
#pragma HLS ARRAY_PARTITION variable=maximum type=complete
#pragma HLS ARRAY_PARTITION variable=operand.row type=complete dim=1
#pragma HLS ARRAY_PARTITION variable=operand.row type=complete dim=3
#pragma HLS ARRAY_RESHAPE variable=operand.row type=complete dim=4
#pragma HLS BIND_STORAGE variable=operand.row type=ram_2p impl=lutram
row_tiles:
  for (uint32_t first = 0; first < rows; first += TILE_ROWS) {
    find_rows(f, machine.queue, first, rows, tile);
    uint32_t fault = read_operand(f, machine.act, tile, operand);
    if (fault != FAULT_NONE) return fault;
  clear_maximum:
    for (int i = 0; i < TILE_ROWS; i++) {
#pragma HLS UNROLL
      maximum[i] = -32768;
    }
  column_tiles:
    for (uint32_t j = 0; j < tiles; j++) {
      const uint32_t rest = f.columns - j * TILE_COLUMNS;
      const int valid = rest < uint32_t(TILE_COLUMNS) ? int(rest) : TILE_COLUMNS;
      const uint64_t b_address = f.b_address + uint64_t(j) * f.b_stride;
      const uint64_t param_address = f.param_address + uint64_t(j) * f.param_stride;
      if (!inside_weight(b_address, uint64_t(f.depth) * TILE_COLUMNS)) return FAULT_ADDRESS;
      if (!f.row_scale) {
        if (!inside_weight(param_address, PARAMETER_BYTES * TILE_COLUMNS)) return FAULT_ADDRESS;
        read_parameters(machine.weight, machine.act, param_address, parameters);
      }
      multiply_tile(f, machine, b_address, operand, tile.count, accumulators);
      events.matmul_array += f.depth / TILE_DEPTH;
      fault = to_weight ? drain_to_weight(f, machine, tile, accumulators, parameters, j, valid)
                        : drain_to_act(f, machine, tile, accumulators, parameters, j, valid, maximum);
      if (fault != FAULT_NONE) return fault;
    }
    if (f.track_max) {
    record_maximum:
      for (int i = 0; i < tile.count; i++) {
        // II=1: one element is written.
#pragma HLS PIPELINE II=1
        machine.rows.maximum[f.row_base + tile.first + uint32_t(i)] = maximum[i];
      }
    }
  }
  return FAULT_NONE;
}

}  // namespace moesaic

#endif
