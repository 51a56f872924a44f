// The matmul unit: row tiles outside, column tiles inside, then steps of TILE_DEPTH; every linear layer runs here.
#ifndef MOESAIC_MATMUL_HPP
#define MOESAIC_MATMUL_HPP

#include "matmul_array.hpp"
#include "machine.hpp"
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

inline TileRows tile_rows(const Matmul &f, const ExpertQueue &queue, uint32_t first, uint32_t rows) {
  TileRows tile;
  tile.first = first;
  tile.count = rows - first < TILE_ROWS ? int(rows - first) : TILE_ROWS;
tile_row_entries:
  for (int i = 0; i < tile.count; i++) {
    const uint32_t r = first + uint32_t(i);
    const bool queued = f.gather || f.scatter;
    const uint32_t token = queued ? queue.token[f.queue][f.queue_first + r] : r;
    tile.source[i] = f.gather ? token : r;
    tile.target[i] = f.scatter ? token : r;
    tile.score[i] = queued ? queue.score[f.queue][f.queue_first + r] : 0;
  }
  return tile;
}

inline uint32_t read_operand(const Matmul &f, const ActMemory &act, const TileRows &tile, Operand &operand) {
operand_rows:
  for (int i = 0; i < tile.count; i++) {
    const uint64_t address = f.a_address + uint64_t(tile.source[i]) * f.a_pitch;
    if (!inside_act(address, f.depth)) return FAULT_ADDRESS;
  operand_depth:
    for (uint32_t k = 0; k < f.depth; k++) {
#pragma HLS PIPELINE II=1
      operand.row[i][k] = int8_t(act.byte[address + k]);
    }
  }
  return FAULT_NONE;
}

inline void multiply_tile(const Matmul &f, const Machine &machine, uint64_t b_address, const Operand &operand,
                          Accumulators &accumulators) {
clear_rows:
  for (int i = 0; i < TILE_ROWS; i++) {
  clear_columns:
    for (int c = 0; c < TILE_COLUMNS; c++) accumulators.sum[i][c] = 0;
  }
depth_steps:
  for (uint32_t k = 0; k < f.depth; k += TILE_DEPTH) {
    WeightWord word;
    read_weight_word(machine.weight, machine.act, b_address + uint64_t(k) * TILE_COLUMNS, word);
    array_step(operand, int(k), word.byte, accumulators);
  }
}

// Results of one row, requantised and looked up.
struct RowResults {
  int64_t value[TILE_COLUMNS];
};

inline void requantise_row(const Matmul &f, const int32_t *sum, const Parameter *parameters,
                           const RowStatistics &statistics, const GeluTable &table, uint32_t r, RowResults &results) {
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
    const int64_t bias = f.row_scale ? 0 : parameters[c].bias;
    const uint32_t multiplier = f.row_scale ? row_multiplier : parameters[c].multiplier;
    const uint32_t shift = f.row_scale ? row_shift : parameters[c].shift;
    const int64_t value = requantise(sum[c] + bias, multiplier, shift);
    results.value[c] = f.table_enable ? look_up(table, f.table_index, value) : value;
  }
}

inline uint32_t write_act_row(const Matmul &f, ActMemory &act, const RowResults &results, uint32_t target,
                              uint32_t score, uint32_t j, int valid) {
  const int bytes = f.destination == DESTINATION_INT8 ? 1 : 2;
  const uint64_t address = f.d_address + uint64_t(target) * f.d_pitch + uint64_t(j) * TILE_COLUMNS * bytes;
  if (!inside_act(address, uint64_t(valid) * bytes)) return FAULT_ADDRESS;
write_act_lanes:
  for (int c = 0; c < valid; c++) {
#pragma HLS UNROLL
    if (f.destination == DESTINATION_INT8) {
      act.byte[address + c] = uint8_t(saturate(results.value[c], 8));
    } else {
      int64_t update = saturate(results.value[c], 16);
      if (f.destination == DESTINATION_RESIDUAL) {
        if (f.scatter) update = round_shift(update * int64_t(score), 16);
        update = saturate(read_int16(act, address + 2 * c) + update, 16);
      }
      write_int16(act, address + 2 * c, int16_t(update));
    }
  }
  return FAULT_NONE;
}

inline uint32_t write_weight_row(const Matmul &f, Machine &machine, const RowResults &results, uint32_t r,
                                 uint32_t j, int valid) {
  const bool keys = f.destination == DESTINATION_KEYS;
  const uint32_t n0 = j * TILE_COLUMNS;
  const uint64_t row = keys ? uint64_t(r / TILE_COLUMNS) * f.d_pitch + (r % TILE_COLUMNS) * TILE_DEPTH
                            : uint64_t(j) * f.d_pitch + uint64_t(r / TILE_DEPTH) * WEIGHT_WORD_BYTES + r % TILE_DEPTH;
write_weight_lanes:
  for (int c = 0; c < valid; c++) {
#pragma HLS UNROLL
    const uint32_t n = n0 + uint32_t(c);
    const uint64_t lane =
        keys ? uint64_t(n / TILE_DEPTH) * WEIGHT_WORD_BYTES + n % TILE_DEPTH : uint64_t(c) * TILE_DEPTH;
    const uint64_t address = f.d_address + row + lane;
    if (!inside_weight(address, 1)) return FAULT_ADDRESS;
    write_weight(machine.weight, machine.act, address, int8_t(saturate(results.value[c], 8)));
  }
  return FAULT_NONE;
}

inline bool is_legal(const Matmul &f) {
  const bool shape = f.columns > 0 && f.depth > 0 && f.depth % TILE_DEPTH == 0;
  const bool fits = f.a_address % ACT_WORD_BYTES + f.depth <= OPERAND_BYTES;
  const bool queue = !(f.gather || f.scatter) || f.queue < EXPERTS;
  return f.destination <= DESTINATION_VALUES && shape && fits && queue && f.row_base % 2 == 0;
}

// Rows of the product: all, or what the queue holds from queue_first on, up to f.rows.
inline uint32_t product_rows(const Matmul &f, const ExpertQueue &queue) {
  if (!f.gather && !f.scatter) return f.rows;
  const uint32_t count = queue.count[f.queue];
  const uint32_t held = count > f.queue_first ? count - f.queue_first : 0;
  return held < f.rows ? held : f.rows;
}

inline uint32_t matmul(const Matmul &f, Machine &machine, Events &events) {
  if (!is_legal(f)) return FAULT_BAD_INSTRUCTION;
  const uint32_t rows = product_rows(f, machine.queue);
  if (rows == 0) return FAULT_NONE;
  if ((f.row_scale || f.track_max) && !inside_rows(f.row_base, rows)) return FAULT_ADDRESS;
  const uint32_t tiles = (f.columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
  Operand operand;
  Accumulators accumulators;
  Parameter parameters[TILE_COLUMNS];
#pragma HLS ARRAY_PARTITION variable=accumulators.sum complete dim=0
#pragma HLS ARRAY_PARTITION variable=operand.row complete dim=1
#pragma HLS ARRAY_RESHAPE variable=operand.row cyclic factor=TILE_DEPTH dim=2
row_tiles:
  for (uint32_t first = 0; first < rows; first += TILE_ROWS) {
    const TileRows tile = tile_rows(f, machine.queue, first, rows);
    uint32_t fault = read_operand(f, machine.act, tile, operand);
    if (fault != FAULT_NONE) return fault;
    int16_t maximum[TILE_ROWS];
  clear_maximum:
    for (int i = 0; i < TILE_ROWS; i++) maximum[i] = -32768;
  column_tiles:
    for (uint32_t j = 0; j < tiles; j++) {
      const uint32_t rest = f.columns - j * TILE_COLUMNS;
      const int valid = rest < TILE_COLUMNS ? int(rest) : TILE_COLUMNS;
      const uint64_t b_address = f.b_address + uint64_t(j) * f.b_stride;
      const uint64_t param_address = f.param_address + uint64_t(j) * f.param_stride;
      if (!inside_weight(b_address, uint64_t(f.depth) * TILE_COLUMNS)) return FAULT_ADDRESS;
      if (!f.row_scale) {
        if (!inside_weight(param_address, PARAMETER_BYTES * TILE_COLUMNS)) return FAULT_ADDRESS;
      parameter_columns:
        for (int c = 0; c < TILE_COLUMNS; c++) {
          parameters[c] = read_parameter(machine.weight, machine.act, param_address + uint64_t(c) * PARAMETER_BYTES);
        }
      }
      multiply_tile(f, machine, b_address, operand, accumulators);
      events.matmul_array += f.depth / TILE_DEPTH;
    drain_rows:
      for (int i = 0; i < tile.count; i++) {
        const uint32_t r = tile.first + uint32_t(i);
        RowResults results;
        requantise_row(f, accumulators.sum[i], parameters, machine.rows, machine.table, r, results);
        if (f.destination == DESTINATION_KEYS || f.destination == DESTINATION_VALUES) {
          fault = write_weight_row(f, machine, results, r, j, valid);
        } else {
          fault = write_act_row(f, machine.act, results, tile.target[i], tile.score[i], j, valid);
        }
        if (fault != FAULT_NONE) return fault;
      maximum_lanes:
        for (int c = 0; c < valid; c++) {
          const int16_t value = int16_t(saturate(results.value[c], 16));
          if (value > maximum[i]) maximum[i] = value;
        }
      }
    }
    if (f.track_max) {
    record_maximum:
      for (int i = 0; i < tile.count; i++) machine.rows.maximum[f.row_base + tile.first + uint32_t(i)] = maximum[i];
    }
  }
  return FAULT_NONE;
}

}  // namespace moesaic

#endif
