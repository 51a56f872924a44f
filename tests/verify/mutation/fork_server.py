"""Runs inside the simulator: forks a process for each mutant that the socket asks for, and serves that mutant's jobs in it.

A request is the mutant's number with two file descriptors, of the job socket and of the log; the answer is the number of the process.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket

import cocotb

from moesaic.sim.machines.dut import Dut
from moesaic.sim.machines.rtl_server import serve_jobs

_CPU_SECONDS = 180
"""A mutant's simulation that needs more than this is endless: signals that chase one another."""


@cocotb.test()
async def fork_simulations(dut: Dut) -> None:
    """Serve requests until the socket closes."""
    requests = socket.socket(fileno=int(cocotb.plusargs["fork_socket"]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forked ones
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 64, 2)
        if not message:
            return
        process = os.fork()
        if process == 0:
            requests.close()
            job_socket, log = descriptors
            os.dup2(log, 1)
            os.dup2(log, 2)
            if number := int(message):
                resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
            ctypes.CDLL(None).moesaic_select_mutant(number)
            await serve_jobs(dut, socket.socket(fileno=job_socket))
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        requests.send(str(process).encode())
