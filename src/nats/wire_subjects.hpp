// Where JetStream is reached: the subjects of its API and of buckets, as they go over the wire.
//
// Owns: the prefix of a JetStream domain, or of another account's API. Everything above the connection writes
// `$JS.API.` and `$KV.`; this is the one place that knows better. Refuses to know: what is asked.
//
// A leaf node with a JetStream of its own lets no `$KV.` message through to its hub, and one without has nobody that
// listens there (nats-server 2.15.2, tried). `$JS.hub.API.$KV.BUCKET.KEY` arrives from everywhere: the server whose
// domain is `hub` has a mapping of it. Acknowledgements (`$JS.ACK.`) and all other subjects cross as they are.
#pragma once

#include <string>
#include <string_view>

namespace recordkv::nats {

class wire_subjects {
 public:
  /// `api_prefix`: "$JS.hub.API", or empty for the server's own JetStream.
  explicit wire_subjects(std::string_view api_prefix = {});

  bool elsewhere() const noexcept { return !prefix_.empty(); }

  /// The subject that is published.
  std::string out(std::string_view subject) const;
  /// What out() was asked for; also of a subject that lacks its end.
  std::string back(std::string_view subject) const;
  /// By how much out() may lengthen a subject.
  std::size_t longer_by() const noexcept { return prefix_.size(); }

 private:
  std::string prefix_;  // with a dot at its end, or empty
};

}  // namespace recordkv::nats
