"""Parts for test benches of single modules: a runner for pytest and what a cocotb coroutine needs.

The test of `hls/hardware/rtl/adder.sv` would be one file, `tests/sim/test_adder.py`, imported by both pytest and the simulator:

    import cocotb
    import pytest
    from moesaic.sim.bench_kit import clocking
    from moesaic.sim.bench_kit.pauses import phased_pauses
    from moesaic.sim.bench_kit.random_values import random_generator, with_corners
    from moesaic.sim.bench_kit.runner import run_module_test
    from moesaic.sim.bench_kit.scoreboard import Scoreboard
    from moesaic.sim.bench_kit.stream import StreamSink, StreamSource

    @cocotb.test()
    async def adds(dut):
        width = int(cocotb.plusargs["width"])
        rng = random_generator()
        a, b = (with_corners(rng, 0, 2**width - 1, 500) for _ in "ab")
        board = Scoreboard("sums")
        board.expect(int(x + y) for x, y in zip(a, b))
        source = StreamSource(dut, "valid_i", "ready_o", ["a_i", "b_i"], phased_pauses(random_generator(1)))
        StreamSink(dut, "valid_o", "ready_i", ["sum_o"], lambda payload: board.observe(payload["sum_o"]),
                   phased_pauses(random_generator(2)))
        await clocking.start(dut)
        clocking.watch_progress(dut, lambda: board.checked)
        source.send({"a_i": x, "b_i": y} for x, y in zip(a, b))
        await clocking.wait_until(dut, lambda: board.complete, 100_000)
        board.close()

    @pytest.mark.parametrize("width", [1, 8, 33])
    @pytest.mark.parametrize("seed", range(3), ids=lambda s: f"seed{s}")
    def test_adder(width, seed):
        run_module_test("adder", __name__, parameters={"Width": width}, plusargs={"width": width}, seed=seed)

A signal read at a rising edge has its value from before the edge, as in a clocked SystemVerilog block; a value written
there takes effect after it.
"""
