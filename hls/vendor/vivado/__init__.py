"""The Vivado flow: IP, block design, bitstream, and what the reports say."""
