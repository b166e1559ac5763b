"""A master on pymodbus that reads registers of devices in turn and tells how long each answer took.

Usage: pymodbus_client.py REGISTERS TRANSACTIONS PORT...
Prints the processor time of all transactions, then the time of each, in nanoseconds, a number a line.
"""

import socket
import sys
import time

from pymodbus.client import ModbusTcpClient

registers, transactions = int(sys.argv[1]), int(sys.argv[2])
masters = []
for port in sys.argv[3:]:
    master = ModbusTcpClient("127.0.0.1", port=int(port))
    if not master.connect():
        sys.exit(f"port {port}: no connection")
    master.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    masters.append(master)

times = []
spent_before = time.thread_time_ns()
for at in range(transactions):
    began = time.monotonic_ns()
    answer = masters[at % len(masters)].read_holding_registers(0, count=registers)
    times.append(time.monotonic_ns() - began)
    if answer.isError() or len(answer.registers) != registers:
        sys.exit(f"no answer: {answer}")
print(time.thread_time_ns() - spent_before)
print("\n".join(map(str, times)))
