"""The Vitis HLS flow: a project directory with sources, test bench, golden vectors and scripts."""
