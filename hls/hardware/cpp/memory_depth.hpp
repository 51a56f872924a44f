// How many beats of DRAM co-simulation gives to each memory port. A Vitis project replaces this file by one with the size of its
// test bench; synthesis does not use the number.
#ifndef MOESAIC_MEMORY_DEPTH_HPP
#define MOESAIC_MEMORY_DEPTH_HPP

const int MEMORY_BEATS = 1 << 20;

#endif
