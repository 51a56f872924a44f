// Memories that begin as noise, word by word.
//
// Verilator draws what a variable holds at power-up from the simulation's seed, the instance's name and the variable's. All words of
// a memory are one variable and so begin alike, and a word that is read in place of another stays unseen. The linker puts these functions
// in place of Verilator's (--wrap, in verilator.py): the word's place in the row of words that are drawn for one variable joins the draw.
#include <cstdint>

#include "verilated.h"

namespace {

// Of the word that is drawn now: 0 for the first of a variable. Verilator draws the words of a variable one after the other.
uint64_t place(uint64_t scope, uint64_t variable) {
  static uint64_t last_scope = 0, last_variable = 0, drawn = 0;
  drawn = scope == last_scope && variable == last_variable ? drawn + 1 : 0;
  last_scope = scope;
  last_variable = variable;
  return drawn * 0x9e3779b97f4a7c15ull;
}

}  // namespace

extern "C" {

IData __real__Z22VL_SCOPED_RAND_RESET_Iimm(int bits, uint64_t scope, uint64_t variable);
QData __real__Z22VL_SCOPED_RAND_RESET_Qimm(int bits, uint64_t scope, uint64_t variable);
WDataOutP __real__Z22VL_SCOPED_RAND_RESET_WiPjmm(int bits, WDataOutP word, uint64_t scope, uint64_t variable);

IData __wrap__Z22VL_SCOPED_RAND_RESET_Iimm(int bits, uint64_t scope, uint64_t variable) {
  return __real__Z22VL_SCOPED_RAND_RESET_Iimm(bits, scope, variable ^ place(scope, variable));
}

QData __wrap__Z22VL_SCOPED_RAND_RESET_Qimm(int bits, uint64_t scope, uint64_t variable) {
  return __real__Z22VL_SCOPED_RAND_RESET_Qimm(bits, scope, variable ^ place(scope, variable));
}

WDataOutP __wrap__Z22VL_SCOPED_RAND_RESET_WiPjmm(int bits, WDataOutP word, uint64_t scope, uint64_t variable) {
  return __real__Z22VL_SCOPED_RAND_RESET_WiPjmm(bits, word, scope, variable ^ place(scope, variable));
}

}  // extern "C"
