// All hosts of the network but the stream: relay, PDS, directory, did:web hosts, and the control routes.
//
// Owns: which route belongs to which port, the outages.
// Does not know: sockets.
#pragma once

#include "answers.hpp"
#include "network.hpp"
#include "outage.hpp"
#include "signed_feed.hpp"
#include "xrpc.hpp"

#include <functional>

namespace recordkv::sim {

class network_hosts final : public hosts {
 public:
  /// What the control routes need of the stream's server.
  struct stream_control {
    std::function<void()> cut;  ///< every connection
    std::function<std::uint64_t()> clients;
  };

  network_hosts(network& n, signed_feed& f, unsigned partitions, stream_control s);

  answer respond(const place& at, const request& r) override;
  /// As in xrpc.hpp.
  void keep_exports() { xrpc_.keep_exports(); }

 private:
  answer document(std::string_view did);
  answer web_document(const place& at);
  answer handle_owner(const request& r);

  // control.cpp
  answer control(const request& r);
  answer add_fault(const query& q);
  answer add_commits(const query& q);
  answer add_events(const query& q);
  answer truth(const query& q);
  answer account_lines();
  answer state() const;

  network& network_;
  signed_feed& feed_;
  unsigned partitions_;
  stream_control stream_;
  outage plc_;
  outage pds_;
  xrpc xrpc_;
  std::uint64_t plc_requests_ = 0;
};

}  // namespace recordkv::sim
