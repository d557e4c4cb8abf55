"""Lag and silence tell the truth: an old event that nothing follows is no lag, and a silent connection is made anew
once.

Owns: what /readyz and status say, redirects, and the size of NATS' messages.
"""

import json
import unittest

from fake_source import FakeSource, commit_frame, did, like, now_us, tid
from rig import Rig, answer, free_port, program, wait_for

LIKE = "app.bsky.feed.like"
DAY = 86_400_000_000


class LagRig(Rig):
    def __init__(self, source: FakeSource, **more):
        self.http = free_port()
        super().__init__(**{"source.kind": "firehose", "source.url": source.url,
                            "http.listen": f"127.0.0.1:{self.http}", **more})

    def ready(self) -> int:
        return answer(self.http, "/readyz")[0]

    def exit_code(self) -> int:
        return self.command("status", "--quiet").returncode


def old_frame(seq: int) -> bytes:
    return commit_frame(did(seq), seq, [("create", f"{LIKE}/{tid(now_us() - DAY)}", like(seq))], time_us=now_us() - DAY)


class LagTest(unittest.TestCase):
    def test_a_quiet_source_whose_newest_event_is_a_day_old(self):
        with FakeSource(lambda client: client.binary(old_frame(1))) as source, LagRig(source) as rig:
            rig.nats()
            rig.recordkv("ingest,kv")
            wait_for("it is stored", lambda: rig.stream("KV_record")["messages"] == 1)
            wait_for("nothing waits: it is ready", lambda: rig.ready() == 200, 15)
            wait_for("its report says so", lambda: rig.report("ingest")["lag_seconds"] == 0, 10)
            self.assertEqual(rig.command("--stages", "ingest,kv", "status", "--quiet").returncode, 0)

    def test_status_and_readyz_agree_while_it_lags(self):
        def script(client):
            seq = 0
            while not client.gone.wait(0.2):
                client.binary(old_frame(seq := seq + 1))
        with FakeSource(script) as source, LagRig(source) as rig:
            rig.nats()
            rig.recordkv("ingest,kv")
            wait_for("a day behind: not ready", lambda: "lags by 86" in answer(rig.http, "/readyz")[1], 15)

            def said() -> bool:
                done = rig.command("--stages", "ingest,kv", "status", "--json")
                return done.returncode == 1 and "lags by 86" in " ".join(json.loads(done.stdout)["not_ready"])
            wait_for("status says so, and ends with 1", said, 15)


class SilenceTest(unittest.TestCase):
    def test_a_socket_that_answers_pings_and_says_nothing_is_made_anew_once(self):
        with FakeSource() as source, LagRig(source, **{"source.silent_after": "1s"}) as rig:
            rig.nats()
            rig.recordkv("ingest")
            wait_for("it connects again", lambda: len(source.clients) == 2)
            wait_for("the first one was closed", lambda: source.clients[0].gone.is_set())
            wait_for("silence is told", lambda: rig.report("ingest").get("cause") == "source_silent")
            seen = rig.report("ingest")["stalled_since"]
            renewals = set()

            def lived_on() -> bool:
                renewals.add(rig.api("STREAM.MSG.GET.KV_lock", last_by_subj="$KV.lock.ingest")["message"]["seq"])
                return len(renewals) >= 4
            wait_for("it goes on for some seconds", lived_on)
            self.assertEqual(len(source.clients), 2)
            self.assertEqual(rig.report("ingest")["stalled_since"], seen)

    def test_a_redirect_names_where_to(self):
        for status in ("301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
            refusal = f"HTTP/1.1 {status}\r\nLocation: https://elsewhere.example/x\r\nContent-Length: 0\r\n\r\n"
            with FakeSource(answer=lambda target, text=refusal: text) as source, LagRig(source) as rig:
                rig.nats()
                part = rig.recordkv("ingest")
                wait_for("the log names it", lambda: "https://elsewhere.example/x" in part.text())

    def test_a_small_max_payload_is_told_at_start(self):
        with FakeSource() as source, LagRig(source) as rig:
            with open(rig.path("small.conf"), "w", encoding="utf-8") as f:
                f.write(f'listen: "127.0.0.1:{rig.nats_port}"\njetstream {{ store_dir: "{rig.path("nats")}" }}\n')
            nats = rig.add("nats", [program("RECORDKV_NATS_SERVER", "nats-server"), "-c", rig.path("small.conf")])
            wait_for("nats-server is ready", lambda: "Server is ready" in nats.text())
            part = rig.recordkv("ingest")
            wait_for("it is told", lambda: "max_payload: 8MB" in part.text())


if __name__ == "__main__":
    unittest.main()
