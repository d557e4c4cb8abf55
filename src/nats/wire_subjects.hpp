// The subjects of JetStream's API and of buckets, as they are sent.
//
// Owns: the prefix of a JetStream domain, or of another account's API. Code above the connection writes `$JS.API.` and
// `$KV.`; only this class adds the prefix.
// Does not know: what is requested.
//
// A leaf node with its own JetStream passes no `$KV.` message to its hub. At a leaf node without JetStream no server
// listens for them (tried with nats-server 2.15.2). `$JS.hub.API.$KV.BUCKET.KEY` arrives from everywhere: the server
// whose domain is `hub` maps it. Acknowledgements (`$JS.ACK.`) and all other subjects cross unchanged.
#pragma once

#include <string>
#include <string_view>

namespace recordkv::nats {

class wire_subjects {
 public:
  /// `api_prefix`: "$JS.hub.API", or empty for the server's own JetStream.
  explicit wire_subjects(std::string_view api_prefix = {});

  bool has_prefix() const noexcept { return !prefix_.empty(); }

  /// The subject to publish to.
  std::string out(std::string_view subject) const;
  /// The inverse of out(); also for a subject whose end is missing.
  std::string back(std::string_view subject) const;
  /// By how much out() may lengthen a subject.
  std::size_t longer_by() const noexcept { return prefix_.size(); }

 private:
  std::string prefix_;  // with a dot at its end, or empty
};

}  // namespace recordkv::nats
