"""A real nats-server for a test: its own port, its own directory, gone when the test ends.

Owns: one child process. The program is $RECORDKV_NATS_SERVER or nats-server in PATH; without one the test fails.
"""

import os
import re
import shutil
import subprocess
import tempfile
import threading


class RealServer:
    def __enter__(self):
        program = os.environ.get("RECORDKV_NATS_SERVER") or shutil.which("nats-server")
        if not program:
            raise FileNotFoundError("no nats-server: set RECORDKV_NATS_SERVER or PATH")
        self.directory = tempfile.TemporaryDirectory(prefix="oracle-nats-")
        self.process = subprocess.Popen([program, "-js", "-a", "127.0.0.1", "-p", "-1", "-sd", self.directory.name],
                                        stderr=subprocess.PIPE, text=True)
        self.drain = None
        log, port = [], None
        for line in self.process.stderr:
            log.append(line)
            port = port or re.search(r"client connections on 127\.0\.0\.1:(\d+)", line)
            if "Server is ready" in line:
                break
        if not port:
            self.__exit__()
            raise RuntimeError("nats-server did not start:\n" + "".join(log))
        self.url = f"nats://127.0.0.1:{port[1]}"
        self.drain = threading.Thread(target=self.process.stderr.read, daemon=True)  # a full pipe would stop the server
        self.drain.start()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        if self.drain:
            self.drain.join()
        self.process.stderr.close()
        self.directory.cleanup()


def make_bucket(nats, bucket="record", storage="memory"):
    nats.api(f"STREAM.CREATE.KV_{bucket}", name=f"KV_{bucket}", subjects=[f"$KV.{bucket}.>"], storage=storage,
             max_msgs_per_subject=1, discard="new", allow_direct=True, allow_rollup_hdrs=True)
