"""The Vivado flow: IP, block design, bitstream and reports."""
