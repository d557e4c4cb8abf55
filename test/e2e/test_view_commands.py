"""The commands on views, on real parts: query, view list, show, check, rebuild, retry; wait, put --wait, del --wait.

Owns: what each prints and ends with. Does not know: exactness (test_views_property) and the swap (test_views_swap).
"""

import json
import os
import unittest

from authority import Authority
from postgres import Postgres
from rig import ROOT, Rig, free_port, wait_for

ME = "did:plc:44ybard66vv44zksje25o7dz"
POST = f"at://{ME}/app.bsky.feed.post/3kabcdefghijk"
LIKE = f"at://{ME}/app.bsky.feed.like/a"


def like(subject: str) -> str:
    return json.dumps({"$type": "app.bsky.feed.like", "subject": {"uri": subject}, "createdAt": "2024-11-05T12:00:00Z"})


class ViewCommandsTest(unittest.TestCase):
    def ask(self, rig: Rig, code: int, *words: str) -> str:
        done = rig.command(*words, seconds=90)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout if code == 0 else done.stdout + done.stderr

    def kept(self, rig: Rig) -> None:
        """`put --wait` waits for a process that has just been started, but not as long as a busy machine may need."""
        wait_for("a process keeps the view", lambda: rig.report("view-likes"), 60)

    def test_read_your_own_writes(self):
        with Rig() as rig:
            rig.nats()
            rig.recordkv("index")
            self.kept(rig)
            self.ask(rig, 0, "put", LIKE, like(POST), "--wait")
            self.assertEqual(self.ask(rig, 0, "likes", "--of", POST), f"{ME}  {LIKE}\n")  # at once, without a pause
            for n in range(5):
                self.ask(rig, 0, "put", LIKE, like(f"{POST}{n}"), "--wait")
                row = json.loads(self.ask(rig, 0, "query", "likes", "--where", f"did={ME}", "--json"))
                self.assertEqual(row["subject"], f"{POST}{n}")
            counted = self.ask(rig, 0, "query", "likes_by_subject", "--json").splitlines()
            self.assertEqual([json.loads(c) for c in counted], [{"subject": f"{POST}4", "count": 1}])
            self.ask(rig, 0, "wait")
            self.ask(rig, 0, "wait", LIKE, "--view", "likes")
            self.ask(rig, 0, "del", LIKE, "--wait")
            self.ask(rig, 1, "query", "likes")
            self.ask(rig, 1, "query", "likes_by_subject")

    def test_what_is_asked_wrongly(self):
        with Rig() as rig:
            rig.nats()
            self.assertIn("there is no database", self.ask(rig, 1, "query", "likes"))
            rig.recordkv("index")
            self.kept(rig)
            self.ask(rig, 0, "put", LIKE, like(POST), "--wait")
            self.assertIn("there are: likes", self.ask(rig, 1, "query", "dislikes"))
            self.assertIn("has no column colour", self.ask(rig, 2, "query", "likes", "--where", "colour=red"))
            self.assertIn("COLUMN=VALUE", self.ask(rig, 2, "query", "likes", "--where", "colour"))
            self.assertIn("there is no view", self.ask(rig, 2, "wait", "--view", "dislikes"))
            self.assertIn("is not in the store", self.ask(rig, 1, "wait", f"at://{ME}/app.bsky.feed.like/none"))
            self.assertIn("no record's AT-URI", self.ask(rig, 2, "wait", "at://nobody"))
            self.assertIn("there is no view", self.ask(rig, 1, "view", "rebuild", "dislikes"))
            self.ask(rig, 2, "view")

    def test_list_show_rebuild(self):
        with Rig() as rig:
            rig.nats()
            part = rig.recordkv("index")
            self.kept(rig)
            self.ask(rig, 0, "put", LIKE, like(POST), "--wait")
            wait_for("the live build is folded", lambda: rig.report("view-likes").get("position", 0) > 0)
            row = json.loads(self.ask(rig, 0, "view", "list", "--json"))
            self.assertEqual((row["view"], row["state"], row["lag_messages"], row["next"]),
                             ("likes", "answers", 0, None))
            self.assertIn('collection = "app.bsky.feed.like"', self.ask(rig, 0, "view", "show", "likes"))
            self.assertEqual(self.ask(rig, 0, "view", "rebuild", "likes"), "view likes is rebuilt\n")
            again = json.loads(self.ask(rig, 0, "view", "list", "--json"))
            self.assertGreater(again["build"], row["build"])
            self.assertEqual(part.stop(), 0)
            self.assertIn("no process keeps it", self.ask(rig, 0, "view", "list"))
            self.assertIn("no process keeps view likes", self.ask(rig, 3, "view", "rebuild", "likes"))
            rig.recordkv("index", name="later")  # the wish stands
            wait_for("it is rebuilt", lambda: json.loads(self.ask(rig, 0, "view", "list",
                                                                  "--json"))["build"] > again["build"], 60)

    def test_postgres_with_tls_and_a_password(self):
        port = free_port()
        with Postgres(listen_addresses="127.0.0.1", port=port) as server, Rig() as rig:
            ours, others = Authority(rig.directory, "ours"), Authority(rig.directory, "others")
            server.serve_tls(*ours.sign("server", "DNS:localhost"), "views", "right-secret")

            def url(password: str, authority: Authority) -> str:
                return (f"postgresql://views:{password}@localhost:{port}/postgres?sslmode=verify-full"
                        f"&sslrootcert={authority.certificate}")
            rig.nats()
            for password, authority, why in (("wrong-secret", ours, "password authentication failed"),
                                             ("right-secret", others, "certificate verify failed")):
                with self.subTest(why):
                    rig.settings["index.database"] = url(password, authority)
                    said = self.ask(rig, 1, "query", "likes")
                    self.assertIn(why, said)
                    self.assertNotIn("-secret", said)
            part = rig.recordkv("index", name="refused")
            wait_for("it says why", lambda: "certificate verify failed" in part.text(), 60)
            part.kill()
            self.assertNotIn("-secret", part.text())
            rig.settings["index.database"] = url("right-secret", ours)
            part = rig.recordkv("index", name="taken")
            self.kept(rig)
            self.ask(rig, 0, "put", LIKE, like(POST), "--wait")
            self.assertEqual(json.loads(self.ask(rig, 0, "query", "likes", "--json"))["subject"], POST)
            self.assertEqual(server.query("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                                          "WHERE usename = 'views'"), "t")
            self.assertEqual(part.stop(), 0)
            self.assertNotIn("-secret", part.text() + self.ask(rig, 0, "config", "show"))

    def test_what_does_not_fit(self):
        with Rig() as rig:
            rig.nats()
            rig.recordkv("index")
            self.kept(rig)
            self.ask(rig, 0, "put", LIKE, '{"subject":"no object"}', "--wait")
            reject = json.loads(self.ask(rig, 0, "query", "likes_rejects", "--json"))
            self.assertEqual((reject["uri"], reject["seq"]), (LIKE, 1))
            self.assertIn("subject", reject["reason"])
            self.assertIn("0 of 1 rejects fit now", self.ask(rig, 1, "view", "retry", "likes"))
            self.ask(rig, 0, "put", LIKE, like(POST), "--wait")  # the newer version does
            self.ask(rig, 1, "query", "likes_rejects")
            self.assertIn("0 of 0 rejects fit now", self.ask(rig, 0, "view", "retry", "likes"))

    def test_check(self):
        with Rig() as rig:
            for name in sorted(os.listdir(os.path.join(ROOT, "config", "views"))):
                with self.subTest(name):
                    self.assertIn("tests pass", self.ask(rig, 0, "view", "check",
                                                         os.path.join(ROOT, "config", "views", name)))
            wrong = rig.path("wrong.toml")
            with open(wrong, "w", encoding="utf-8") as f:
                f.write('[[view]]\nname = "x"\ncollection = "app.bsky.feed.like"\ncolums = []\n')
            self.assertIn("wrong.toml:4: view.colums", self.ask(rig, 2, "view", "check", wrong))
            with open(wrong, "w", encoding="utf-8") as f:
                f.write('[[view]]\nname = "x"\ncollection = "app.bsky.feed.like"\ncolumns = [{ name = "a", pointer = '
                        '"/a" }]\n'
                        '[[view.test]]\nrecord = \'{"a":"b"}\'\nrow = { a = "c" }\n')
            self.assertIn("0 of 1 tests pass", self.ask(rig, 1, "view", "check", wrong))


if __name__ == "__main__":
    unittest.main()
