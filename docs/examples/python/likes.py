"""A file of likes, one line per change: sequence, URI, subject (empty if the like is gone). See ../README.md.

python3 likes.py NATS_URL DURABLE FILE [--new] [--no-ack]
"""
import asyncio
import json
import os
import re
import sys

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

STREAM = "KV_record"
LIKES = "$KV.record.*.app.bsky.feed.like.*.*"  # exactly this collection; ">" would match longer names


def uri(subject: str) -> str:
    _, _, _, *collection, did, rkey = subject.split(".")  # read a key from the right: an NSID spans several tokens
    text = f"at://{did}|{'.'.join(collection)}|{rkey}"
    return re.sub("/([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), text).replace("|", "/")


def liked(message) -> str:
    try:
        return str(json.loads(message.data)["subject"]["uri"])
    except (ValueError, LookupError, TypeError):  # a delete is empty, and any account may have written the rest
        return ""


async def rewind(js, durable: str, new: bool, ack: bool, after: int | None) -> None:
    """The durable begins right behind what is done: by its own floor with acks, by the file without."""
    try:
        if ack:
            after = (await js.consumer_info(STREAM, durable)).ack_floor.stream_seq
            end, version = (await js.stream_info(STREAM)).state.last_seq, js._nc.connected_server_version
            if (version.major, version.minor) >= (2, 14) and after < end:  # beyond the end a reset delivers nothing
                return await js.reset_consumer(STREAM, durable, after + 1)
        await js.delete_consumer(STREAM, durable)
    except NotFoundError:
        pass
    if after is None:
        after = (await js.stream_info(STREAM)).state.last_seq if new else 0
    await js.add_consumer(STREAM, ConsumerConfig(
        durable_name=durable, filter_subject=LIKES, ack_policy=AckPolicy.EXPLICIT if ack else AckPolicy.NONE,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=after + 1, max_ack_pending=2000 if ack else None))


async def main(url: str, durable: str, path: str, *options: str) -> None:
    new, ack = "--new" in options, "--no-ack" not in options
    with open(path, "ab+") as file:
        file.seek(0)
        whole = file.read()
        whole = whole[:whole.rfind(b"\n") + 1]  # a kill may have left half a line
        file.truncate(len(whole))
        nc = await nats.connect(url, allow_reconnect=False)  # if cut off, it ends; a restart rewinds
        js = nc.jetstream()
        after = int(whole.splitlines()[-1].split(b"\t")[0]) if whole else None
        if after is None and new and not ack:  # "new" is from now on, not from the next start
            after = (await js.stream_info(STREAM)).state.last_seq
            file.write(b"%d\t\t\n" % after)
            file.flush()
        await rewind(js, durable, new, ack, after)
        likes, expected = await js.pull_subscribe_bind(consumer=durable, stream=STREAM), 1
        while nc.is_connected:
            try:
                batch = await likes.fetch(500, timeout=5)
            except nats.errors.TimeoutError:
                continue
            for m in batch:
                at = m.metadata.sequence
                if at.consumer != expected:  # a killed predecessor's request may still receive some
                    sys.exit("a message is missing: start again")
                expected += 1
                file.write(f"{at.stream}\t{uri(m.subject)}\t{liked(m)}\n".encode())
            file.flush()
            if ack:  # only what is written
                for m in batch:
                    await m.ack()
    sys.exit("the connection to NATS is lost: start again")


asyncio.run(main(*sys.argv[1:]))
