"""Is each account of a verifying mirror what the signed network says of it?

Owns: what each kind of fault may do to an account's state, and the comparison account by account.
Does not know: how the states and records were read, NATS, processes. It shares no code with what wrote them.
"""

from types import SimpleNamespace
from typing import NamedTuple

import check_store
from check_store import Fact, Found, Report
from record_place import place_of

# A fault that costs the mirror something, and the word by which the account's state must name it.
MARKS = {"corrupted": "gap", "wrong_key": "gap", "high_s": "gap", "gap": "gap", "wrong_prev_data": "prev_data",
         "no_prev_data": "no_prev_data", "op_left_out": "prev_data", "sync_moved": "sync", "bad_record": "float",
         "reactivated": "reactivated", "plc_404": "did_not_found", "plc_410": "did_not_found"}
# Words that may stand beside it. After some faults the mirror has another tree than the account, and the next commit
# names a gap. A commit with a number that is too low is not lost to a mirror that goes by revs.
MAY_MARK = {"wrong_prev_data": {"gap"}, "op_left_out": {"gap"}, "sync_moved": {"gap"}, "reactivated": {"sync", "gap"},
            "seq_back": {"gap"}}
# If the commit behind a lost one has a fault of its own, the state may name only that. Two lost commits in a row may
# undo each other, and then no gap is left.
INSTEAD_OF_GAP = {"no_prev_data", "prev_data", "sync"}
# The directory knows one key only. A mirror that lags behind the stream cannot verify what an older key has signed.
ROTATIONS = {"rotation", "rotation_silent", "rotation_late"}
# An account's key is looked up for these once a minute at most. A key that changes within that minute, without an
# #identity that the directory has followed, becomes known after it.
DOUBTED = {"forged", "wrong_key", "high_s", *ROTATIONS}
# The commit of this rev was never sent with a proof that holds.
UNPROVEN = {"corrupted", "wrong_key", "high_s", "gap", "wrong_prev_data", "op_left_out", "sync_moved"}
FALSE_TEXTS = {b'"text":"forged"', b'"text":"future_rev"'}
COMPARED = SimpleNamespace(no_headers=False, cids=True)


class Truth(NamedTuple):
    """What the simulator says in the end."""

    accounts: dict[str, dict]
    injected: list[dict]
    facts: dict[str, Fact]  # by key


class Mirror(NamedTuple):
    """What recordkv has made of it."""

    states: dict[str, dict]
    store: dict[str, Found]  # by key


class Account(NamedTuple):
    """One account in both."""

    truth: dict
    faults: list[dict]
    facts: dict[str, Fact]
    state: dict
    store: dict[str, Found]
    lagged: bool  # the mirror may have been behind the stream when a fault happened

    @property
    def kinds(self) -> set[str]:
        return {f["kind"] for f in self.faults}

    @property
    def lost_key(self) -> bool:
        """The mirror may have met commits of a key that it could not look up any more."""
        return self.lagged and bool(self.kinds & ROTATIONS)

    @property
    def doubted_twice(self) -> bool:
        return self.lost_key and sum(f["kind"] in DOUBTED for f in self.faults) > 1

    def visible(self, fault: dict) -> bool:
        """The account had begun before the fault. Without a rev it was injected once the account was known."""
        return not fault["rev"] or bool(self.state.get("begun")) and fault["rev"] > self.state["begun"]

    def due(self) -> dict[str, set[str]]:
        """Kind of a fault to the words of which one must be there."""
        out = {}
        for f in self.faults:
            if f["kind"] in MARKS and self.visible(f):
                word = MARKS[f["kind"]]
                out[f["kind"]] = {word} | (INSTEAD_OF_GAP & self.allowed() if word == "gap" else set())
        return out

    def allowed(self) -> set[str]:
        words = {MARKS[k] for k in self.kinds if k in MARKS}.union(*(MAY_MARK.get(k, set()) for k in self.kinds))
        return words | ({"gap"} if self.lost_key else set())


def by_account(truth: Truth, mirror: Mirror, quiet: set[str]) -> dict[str, Account]:
    """`quiet`: accounts whose faults happened while the mirror was level with the stream."""
    out = {did: Account(a, [], {}, mirror.states.get(did, {}), {}, did not in quiet)
           for did, a in truth.accounts.items()}
    for fault in truth.injected:
        if fault["did"] in out:
            out[fault["did"]].faults.append(fault)
    for key, fact in truth.facts.items():
        out[fact.uri.split("/")[2]].facts[key] = fact
    for key, found in mirror.store.items():
        if (place := place_of(key)) and place.did in out:
            out[place.did].store[key] = found
    return out


def unproven_records(a: Account):
    """What no mirror that verifies can hold."""
    revs = {f["rev"] for f in a.faults if f["kind"] in UNPROVEN}
    for key, found in a.store.items():
        if any(text in found.payload for text in FALSE_TEXTS):
            yield f"{key}: {found.payload[:80]!r}"
        elif found.headers.get("rev") in revs:
            yield f"{key}: of rev {found.headers['rev']}, which was never proved"
        elif found.live and check_store.cid_of(found.payload) != found.headers.get("cid"):
            yield f"{key}: the value is not that of its CID"


def wrong_reasons(a: Account):
    state = a.state
    reasons = set(state.get("reasons", []))
    if surplus := reasons - a.allowed():
        yield f"is marked for {sorted(surplus)}, and its faults are {sorted(a.kinds)}"
    for kind, words in a.due().items():
        if not words & reasons:
            yield f"{kind} was not noticed: reasons are {sorted(reasons)}"
    if (state["status"] == "desynchronised") != bool(reasons):
        yield f"is {state['status']} with reasons {sorted(reasons)}"


def wrong_state(a: Account):
    """The newest commit of every active account was a good one, so the state is that commit's."""
    for ours, theirs in (("rev", "rev"), ("data", "data"), ("key", "key"), ("pds", "pds"), ("handle", "handle")):
        if a.state.get(ours) != a.truth[theirs]:
            yield f"{ours} is {a.state.get(ours)!r}, expected {a.truth[theirs]!r}"
    if not a.state.get("verified"):
        yield "is not verified"


def wrong_records(a: Account):
    """From the beginning of the account in the mirror on. What a settled account had before the stream is not there."""
    settled = any(f.op == "settled" for f in a.facts.values())
    if not settled and not a.faults and not a.state.get("complete"):
        yield "is incomplete, and all of it was in the stream"
    begun = "" if a.state.get("complete") else a.state["begun"]
    facts = {k: f for k, f in a.facts.items() if f.op != "settled" and f.rev >= begun}
    # A kill between records and state, then a lost key: the account begins again, later. The records are still there.
    store = {k: f for k, f in a.store.items() if not a.lost_key or f.headers.get("rev", "") >= begun}
    report = check_store.check_records(facts, store, COMPARED)
    for kind, items in report.faults.items():
        yield from (f"{kind}: {item}" for item in items)


def has_all_records(a: Account) -> bool:
    """Nothing that was lost is a record of a commit: what can't be read is in no truth, a look-up costs none."""
    return set(a.state.get("reasons", [])) <= {"float", "did_not_found"}


def faults_of(a: Account):
    yield from unproven_records(a)
    if a.truth["status"] != "active":
        if a.state and a.state.get("upstream_status") != a.truth["status"]:
            yield f"upstream_status is {a.state.get('upstream_status')!r}, expected {a.truth['status']!r}"
        return
    if not a.state.get("rev"):
        yield "has no state"
        return
    if a.state.get("upstream_status"):
        yield f"is active, and not {a.state['upstream_status']!r}"
    if a.doubted_twice:
        return
    yield from wrong_reasons(a)
    yield from wrong_state(a)
    if has_all_records(a):
        yield from wrong_records(a)


def check(truth: Truth, mirror: Mirror, quiet: set[str] = frozenset()) -> Report:
    report = Report()
    accounts = by_account(truth, mirror, quiet)
    for did, a in accounts.items():
        for text in faults_of(a):
            report.add(did, f"{text}; faults {sorted(a.kinds)}")
        report.note("touched" if a.faults else "untouched")
        report.note(a.state.get("status", "unknown") if a.truth["status"] == "active" else a.truth["status"])
    for did in mirror.states.keys() - accounts.keys():
        report.add(did, "no such account")
    for key in mirror.store:
        if not (place := place_of(key)) or place.did not in accounts:
            report.add("extra", key)
    return report
