// The kinds of source, one row each: what differs between them, apart from the bytes on the wire.
//
// Owns: the table, and the makers it names.
// Does not know: configuration files, NATS, how a kind reads.
// A new kind is a row here, its maker above the table, and one source file.
#pragma once

#include "recordkv/firehose/source.hpp"

#include <array>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace recordkv::firehose {

/// com.atproto.sync.subscribeRepos over ws/wss. `counters` outlives the source, here and below.
std::unique_ptr<frame_source> make_subscribe_repos(asio::any_io_executor ex, source_spec spec, meters& counters);
/// Jetstream v1 JSON over ws/wss (and v2's /subscribe).
std::unique_ptr<frame_source> make_jetstream(asio::any_io_executor ex, source_spec spec, meters& counters);
/// Recorded messages: 32-bit little-endian length, then the message, to end of file; CBOR frames or Jetstream JSON.
std::unique_ptr<frame_source> make_file(asio::any_io_executor ex, source_spec spec, meters& counters);

struct source_kind {
  std::string_view name;       ///< source.kind, and the first part of the cursor's key
  std::string_view noun;       ///< for messages: "a recording has no …"
  bool remote = true;          ///< source.url is ws:// or wss://; else the path of a file, which has no present
  std::string_view path;       ///< remote: the usual path of the address, which the cursor's key leaves out
  bool timed = false;          ///< numbers may be times in µs, and reading may begin at a time
  bool chained = true;         ///< each commit names the one before it, so a wanted account's commits pass whole
  bool signed_commits = true;  ///< its commits carry signature and proof, so they can be verified
  bool filters = false;        ///< the host takes the wanted collections and accounts
  bool of_relay = false;       ///< the default address, a relay's, is one of this kind
  std::unique_ptr<frame_source> (*make)(asio::any_io_executor, source_spec, meters&) = nullptr;
};

inline constexpr auto source_kinds = std::to_array<source_kind>({
    {.name = "firehose",
     .noun = "firehose",
     .path = "/xrpc/com.atproto.sync.subscribeRepos",
     .of_relay = true,
     .make = make_subscribe_repos},
    {.name = "jetstream",
     .noun = "Jetstream",
     .path = "/subscribe",
     .timed = true,
     .chained = false,
     .signed_commits = false,
     .filters = true,
     .make = make_jetstream},
    {.name = "file", .noun = "recording", .remote = false, .make = make_file},
});

/// The kind of a configuration that has been checked. An unknown name is a broken invariant.
constexpr const source_kind& source_kind_named(std::string_view name) noexcept {
  for (const auto& kind : source_kinds)
    if (kind.name == name) return kind;
  std::abort();
}

}  // namespace recordkv::firehose
