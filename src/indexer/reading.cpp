#include "reading.hpp"

#include <algorithm>

namespace recordkv {

// A durable's name is part of subjects and of the lease's key. The names of recordkv's own durables are refused:
// rewinding one of them would make a stage lose its position.
result<void> check_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (name.size() > 64 || !std::ranges::all_of(name, fits))
    return fail(errc::bad_config, "\"{}\" is no name for a durable; take up to 64 of A-Z a-z 0-9 - _", name);
  if (name == "kv" || name.starts_with("kv-") || name.starts_with("view-"))
    return fail(errc::bad_config, "durables named \"{}\" belong to recordkv's own stages; take another name", name);
  return {};
}

record record_of(const nats::message& m, kv::record_key key, std::uint64_t seq) {
  record r{.did = std::move(key.did), .collection = std::move(key.collection), .rkey = std::move(key.rkey)};
  r.cid = m.header_value("cid");
  r.rev = m.header_value("rev");
  r.time = m.header_value("time");
  r.seq = seq;
  r.deleted = !m.header_value("KV-Operation").empty() || m.data().empty();
  r.created = m.header_value("op") == "create";
  if (!r.deleted) r.json = m.data();
  return r;
}

}  // namespace recordkv
