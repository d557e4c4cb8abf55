#include "network_hosts.hpp"

namespace recordkv::sim {

network_hosts::network_hosts(network& n, signed_feed& f, unsigned partitions, stream_control s)
    : network_(n),
      feed_(f),
      partitions_(partitions),
      stream_(std::move(s)),
      plc_("plc", [&n](injection i) { n.note(std::move(i)); }),
      pds_("pds", [&n](injection i) { n.note(std::move(i)); }),
      xrpc_(n, pds_) {}

answer network_hosts::respond(const place& at, const request& r) {
  const std::string_view target = r.target;
  if (target == "/.well-known/atproto-did") return handle_owner(r);
  if (at.role == role::plc && target.starts_with("/did:")) return document(target.substr(1));
  if (at.role == role::web && target == "/.well-known/did.json") return web_document(at);
  if (at.role == role::relay && (target == "/" || target.starts_with("/control/"))) return control(r);
  if ((at.role == role::relay || at.role == role::pds) && target.starts_with("/xrpc/")) return xrpc_.respond(at, r);
  return refusal(404, "NotFound", "no such page");
}

answer network_hosts::document(std::string_view did) {
  ++plc_requests_;
  const outage_met met = plc_.meet(did);
  if (auto instead = plc_.instead(met)) return *instead;
  account* a = network_.accounts().find(did);
  if (a == nullptr || !did.starts_with("did:plc:"))
    return {.status = 404, .body = R"({"message":"DID not registered"})"};
  return {.body = network_.accounts().document(*a), .type = "application/did+ld+json", .delay = delay_of(met)};
}

answer network_hosts::web_document(const place& at) {
  account& a = network_.accounts().at(static_cast<std::uint32_t>(at.index));
  const outage_met met = plc_.meet(a.did);
  if (auto instead = plc_.instead(met)) return *instead;
  return {.body = network_.accounts().document(a), .delay = delay_of(met)};
}

answer network_hosts::handle_owner(const request& r) {
  const account* a = network_.accounts().with_handle(r.host.substr(0, r.host.find(':')));
  if (a == nullptr) return refusal(404, "NotFound", "no account has this handle");
  return {.body = a->did, .type = "text/plain"};
}

}  // namespace recordkv::sim
