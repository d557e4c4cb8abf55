"""Hostile HTTP clients: idle in their hundreds, slow, silent, oversized, malformed, asking and never reading.

Owns: the clients' manners and the count of what became of them, one JSON object on standard output at SIGTERM.
Does not know: what is served. `python3 hostile_clients.py PORT`; prints "attacking" once every kind has connected.
It goes on until it is ended, at a pace that leaves the processor to the programs under test.
"""

import asyncio
import collections
import json
import resource
import signal
import sys

IDLE, SLOW, SILENT, UNREAD, RUDE = 1000, 24, 8, 8, 4
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: a\r\n"
OVERSIZED = [REQUEST + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n",
             REQUEST + b"Y: y\r\n" * 5_000 + b"\r\n",
             b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 1_000_000]
MALFORMED = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n\r\n\r\n",
             b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
             b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"]

ended = collections.Counter()  # "kind: status", or "kind: closed" without one
connected = collections.Counter()


async def connect(kind: str, port: int):
    # a small buffer: what is not read must not lie in the kernel
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    connected[kind] += 1
    return reader, writer


async def verdict(kind: str, reader) -> None:
    """What the server says before it closes, if anything."""
    try:
        said = await reader.read(64)
        while await reader.read(65536):
            pass
    except OSError:
        said = b""
    words = said.split()
    ended[f"{kind}: {words[1].decode() if len(words) > 1 else 'closed'}"] += 1


async def idle(kind: str, port: int, number: int) -> None:
    reader, _ = await connect(kind, port)
    await verdict(kind, reader)
    await asyncio.sleep(2 + number % 100 / 50)


async def slow(kind: str, port: int, number: int) -> None:
    reader, writer = await connect(kind, port)
    said = asyncio.ensure_future(verdict(kind, reader))
    writer.write(REQUEST)
    while not said.done():
        writer.write(b"X")
        await asyncio.wait([said], timeout=1)


async def unread(kind: str, port: int, number: int) -> None:
    """Asks without end and reads nothing: at first the kernel's buffers fill, then the server has to wait."""
    _, writer = await connect(kind, port)
    while True:
        writer.write((REQUEST + b"\r\n") * 20)
        await writer.drain()
        await asyncio.sleep(0.1)


async def rude(kind: str, port: int, number: int, texts: list) -> None:
    reader, writer = await connect(kind, port)
    writer.write(texts[connected[kind] % len(texts)])
    await verdict(kind, reader)
    await asyncio.sleep(0.2)


async def oversized(kind: str, port: int, number: int) -> None:
    await rude(kind, port, number, OVERSIZED)


async def malformed(kind: str, port: int, number: int) -> None:
    await rude(kind, port, number, MALFORMED)


async def again_and_again(kind: str, one, port: int, number: int) -> None:
    await asyncio.sleep(number % 100 / 100)
    while True:
        try:
            await one(kind, port, number)
        except OSError:
            ended[f"{kind}: reset"] += 1
            await asyncio.sleep(0.2)


async def main(port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    kinds = {"idle": (idle, IDLE), "slow": (slow, SLOW), "silent": (idle, SILENT), "unread": (unread, UNREAD),
             "oversized": (oversized, RUDE), "malformed": (malformed, RUDE)}
    tasks = [asyncio.ensure_future(again_and_again(kind, one, port, i))
             for kind, (one, count) in kinds.items() for i in range(count)]
    while any(connected[kind] < count for kind, (_, count) in kinds.items()) and not stop.is_set():
        await asyncio.sleep(0.05)
    print("attacking", flush=True)
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps({"connected": connected, "ended": ended}), flush=True)


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most) if most > 0 else 4096, most))
    asyncio.run(main(int(sys.argv[1])))
