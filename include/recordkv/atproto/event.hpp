// What happened to one account, in one form for every wire.
//
// Owns: the decoded form of a firehose frame (CBOR), a Jetstream event (JSON) and an ingest marker. Also the summary of
// a frame, which ingest makes before it buffers the frame.
// Does not know: sockets, NATS, stored state, clocks. Pure functions of bytes; every length is bounded.
// Sources: com.atproto.sync.subscribeRepos lexicon, event-stream and sync specifications; Jetstream v1 README.
#pragma once

#include "recordkv/atproto/cid.hpp"
#include "recordkv/core/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::atproto {

enum class event_kind {
  commit,      ///< records written or deleted
  sync,        ///< "the repo is now at this commit", without a diff
  identity,    ///< hint: the DID document may have changed
  account,     ///< hosting status
  oversize,    ///< ingest marker: a frame too large for the buffer; nothing known but did (and rev)
  unreadable,  ///< ingest marker, or undecoded(): an event that cannot be read; nothing known but did and reason
  info,        ///< #info: about the stream itself; has no seq and no did
  unknown,     ///< an unknown type or op: skipped; its seq, if any, counts as progress
};

/// What ingest needs to route a frame, read without decoding records or hashing anything.
struct frame_summary {
  event_kind kind = event_kind::unknown;
  std::uint64_t seq = 0;                 ///< firehose: seq; Jetstream: `cursor` where present, else `time_us`; 0: none
  double time = 0;                       ///< seconds since 1970, as the source has it; 0: it does not say
  double rev_time = 0;                   ///< commit, sync: the time inside the rev, in seconds since 1970; 0: none
  std::string did;                       ///< a valid DID of at most 512 bytes; empty for info and unknown types
  std::vector<std::string> collections;  ///< commit: the collections that its ops touch, each once
  /// info: its name ("OutdatedCursor"). unknown, although the type is known: why the event cannot be routed. The words
  /// are "bad_did", "did_too_long" and "seq"; with "seq", `did` is set. Such an event counts as progress; decode_event
  /// refuses it as malformed.
  std::string name;

  /// unknown: its word in counters.
  std::string_view unknown_word() const noexcept { return name.empty() ? std::string_view("unknown") : name; }
};

/// The codes of an error frame. The host says that something is wrong, and the frame brings nothing else.
constexpr bool is_error_frame(errc code) noexcept {
  return code == errc::refused || code == errc::cursor_ahead || code == errc::too_slow;
}

/// Reads the summary of one firehose frame: exactly two DAG-CBOR items, their keys in any order, a header map with
/// `op`. errc::malformed: it is no such frame. Fields are not judged here: a field of a wrong type counts as absent.
/// For an error frame (op −1) the error has a code of is_error_frame(), and the text "Name: message".
result<frame_summary> summarise_frame(std::string_view bytes);

/// The same for one Jetstream v1 event, or a v2 message envelope. errc::malformed: not a JSON object, or a commit
/// without a collection.
result<frame_summary> summarise_jetstream(std::string_view json);

enum class action { create, update, remove };
std::string_view name(action a) noexcept;  ///< "create", "update", "delete"

/// Why a record inside an otherwise usable event cannot be stored. The word is the metric's reason.
enum class record_flaw {
  none,
  bad_path,       ///< no store key can be made of its path
  missing_block,  ///< the event names the record but does not contain it
  cid_mismatch,   ///< Jetstream: the record's JSON is not what its CID names
  malformed,      ///< not data of the AT Protocol
  number,         ///< "float": the protocol has no floats
  too_large,      ///< beyond the protocol's limit of a record
};
std::string_view name(record_flaw f) noexcept;
/// Why a record has no JSON, or no CBOR: of the errors of json.hpp and cbor.hpp.
record_flaw flaw_for(const error& why) noexcept;

struct record_change {
  action what = action::create;
  std::string collection;  ///< a valid NSID; with bad_path it may be empty
  std::string rkey;        ///< a valid record key; empty with bad_path
  std::string cid;         ///< the new record's CID as text; empty for delete
  std::string prev;        ///< the old record's CID where the event names it, else empty
  std::string json;        ///< the record as JSON text (see json.hpp); empty for delete or a flawed record
  record_flaw flaw = record_flaw::none;
};

/// What is left to judge of a commit or #sync once the account's key is known. decode_provable() (verify.hpp) fills it.
struct event_proof {
  digest signed_digest;       ///< SHA-256 of the commit block without its signature
  std::string signature;      ///< 64 bytes
  std::string_view flaw;      ///< why the tree does not prove the ops (a word of tree.hpp, "prev_data"); empty: it does
  bool from_empty = false;    ///< commit: undoing its ops leads to the empty tree, so it is the account's first commit
  bool has_prev_data = true;  ///< false: the host predates Sync 1.1, and the step from prev_data is not proven
};

struct repo_event {
  event_kind kind = event_kind::unknown;
  bool proofless = false;  ///< from Jetstream: several events of one rev make up a commit
  std::uint64_t seq = 0;
  std::string did;
  std::string rev;        ///< commit, sync; oversize where known
  std::string time;       ///< as sent by the host, or time_us as RFC 3339 UTC; informal; printable, ≤ 64 bytes
  std::string commit;     ///< CID of the commit block as text (firehose commit, sync)
  std::string data;       ///< CID of the tree's root in that commit block, as text
  std::string prev_data;  ///< commit: root before this commit; empty when absent
  std::string since;      ///< commit: previous rev; empty when null or absent
  bool active = true;     ///< account
  std::string status;     ///< account: "deleted", "takendown", …; empty when absent; printable, ≤ 64 bytes
  std::string reason;     ///< oversize, unreadable: the word for what is wrong; printable, ≤ 64 bytes
  std::vector<record_change> changes;
  std::optional<event_proof> proof;  ///< set by decode_provable() only
};

/// Decodes a message of stream `ingest`: a frame (first byte 0xA0–0xBF), a Jetstream event or a marker ('{').
///
/// Commit frames: every CAR block is checked against its CID, the commit block against the message (did, rev), and each
/// record against its op's CID. One bad record is a flaw of that change. Anything else makes the whole event
/// errc::malformed, with a short word in error::text: "cid_mismatch", "no_commit_block", "did_too_long" and so on. The
/// last one is a valid DID over 512 bytes: its escaped form might not fit NATS's control line. An error with a code of
/// is_error_frame(): the payload is an error frame.
///
/// Jetstream has no proofs. A record is rewritten through its canonical CBOR, whose CID must be the event's CID
/// (cid_mismatch). If the event has no CID, the CID is computed. A number not written as an integer then counts as a
/// float, since its CBOR form cannot be known. A record without a CBOR form (a fraction, an integer beyond 64 bits) is
/// flawed. A record that is missing or null is missing_block. Of a v2 #sync only the rev is used.
result<repo_event> decode_event(std::string_view payload);

/// The event for a payload that decode_event refused with `why`. Its kind is `unreadable` if the summary names an
/// account, else `unknown`. Its reason is set.
repo_event undecoded(std::string_view payload, const error& why);

}  // namespace recordkv::atproto
