"""recordkv behind the signed network: a relay with a directory and PDS hosts, and their faults on command.

Owns: the settings by which recordkv follows it, the control routes, and reading what has become of each account.
Does not know: what a test proves.
"""

import io
import json
import urllib.parse

from rig import Rig, answer, nats_wire, wait_for
import check_accounts  # from test/oracle, which rig has put into the path
import check_store


class SignedRig(Rig):
    def __init__(self, *options, **settings):
        """`options` are the simulator's."""
        super().__init__(**{"source.kind": "firehose", "kv.verify": "full", "identity.allow_private_hosts": True,
                            "index.views": [], **settings})
        self.options = options

    def __enter__(self):
        super().__enter__()
        self.nats()
        sim = self.simulator("--network", "signed", *self.options, truth=False)
        told = dict(line.split(" ", 1) for line in sim.text().splitlines() if line.startswith(("plc ", "control ")))
        self.settings["identity.plc_url"] = told["plc"]
        # Without repair a fault stays to be seen. test_repair.py is about what becomes of it.
        self.settings.setdefault("repos.repair", False)
        return self

    def control(self, route: str, **query) -> dict:
        status, body = answer(self.sim_port, f"/control/{route}?{urllib.parse.urlencode(query)}")
        if status != 200:
            raise AssertionError(f"control/{route} {query}: {status} {body}")
        return json.loads(body)

    def commit(self, did: str, count: int = 1) -> str:
        """The account writes posts now. Returns the last rev."""
        return self.control("commit", did=did, count=count)["rev"]

    def status(self) -> dict:
        return json.loads(self.command("status", "--json").stdout)

    def counts(self) -> dict[str, int]:
        return self.control("faults")["counts"]

    def look_ups(self) -> int:
        """Requests that the directory has had."""
        return self.control("state")["plc_requests"]

    def accounts(self) -> dict[str, dict]:
        return {a["did"]: a for a in map(json.loads, answer(self.sim_port, "/control/accounts")[1].splitlines())}

    def states(self) -> dict[str, dict]:
        """What bucket `repo` says of each account."""
        found = (json.loads(payload) for subject, _, payload, _ in
                 nats_wire.read_stream(self.url, "KV_repo", "$KV.repo.>") if ".want." not in subject and payload)
        return {s["did"]: s for s in found if "did" in s}

    def check_accounts(self, quiet: set[str] = frozenset()) -> check_store.Report:
        """The oracle: each account is what the network says of it. `quiet`: see there."""
        with open(self.path("truth.tsv"), "w", encoding="utf-8") as f:
            f.write(answer(self.sim_port, "/control/truth")[1])
        truth = check_accounts.Truth(self.accounts(), self.control("faults")["injected"],
                                     check_store.read_truth(self.path("truth.tsv"), []))
        store = check_store.read_store(self.url, "record", ["KV_record"])
        report = check_accounts.check(truth, check_accounts.Mirror(self.states(), store), quiet)
        if report.faults:
            text = io.StringIO()
            report.print(text)
            raise AssertionError("the oracle says:\n" + text.getvalue())
        return report

    def wait_level(self, seconds: float, meanwhile=None) -> None:
        """Until recordkv has dealt with everything that the network has said by now. The last word is a new post."""
        did = next(did for did, a in self.accounts().items() if a["status"] == "active" and not a["faults"])
        rev = self.commit(did)

        def level() -> bool:
            return self.drained() and self.states().get(did, {}).get("rev", "") >= rev
        wait_for("recordkv is level with the network", level, seconds, every=0.2, meanwhile=meanwhile)
