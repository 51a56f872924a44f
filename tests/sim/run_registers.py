"""What the host writes before a run, with values that set every part of each register."""

RUN_REGISTERS = {
    "constant_base_o": (("CONSTANT_BASE_LOW", "CONSTANT_BASE_HIGH"), 0xAB_1234_5000),
    "constant_size_o": (("CONSTANT_SIZE",), 0x89AB_CDE0),
    "frame_base_o": (("FRAME_BASE_LOW", "FRAME_BASE_HIGH"), 0x12_FEDC_B000),
    "frame_size_o": (("FRAME_SIZE",), 0xFFFF_FFF0),
    "program_offset_o": (("PROGRAM_OFFSET",), 0x8000_0040),
    "program_size_o": (("PROGRAM_SIZE",), 0x7FFF_FFC0),
}
"""Port that shows it to (names of its registers, low part first; value)."""
