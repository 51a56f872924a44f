"""The runtime: numpy alone, and PYNQ on the board. Its public entry is `moesaic.open`."""
