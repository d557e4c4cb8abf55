#include "recording.hpp"

#include <fmt/format.h>
#include <boost/json.hpp>

namespace recordkv::sim {
namespace {

namespace json = boost::json;

constexpr std::size_t max_message = 5'000'000;

std::string account_line(const accounts& all, const account& a) {
  json::array keys;
  for (const auto& [from, generation] : a.generations)
    keys.push_back({{"from", from}, {"key", all.key_of(a, generation).multikey()}});
  return json::serialize(
      json::object{{"did", a.did}, {"number", a.number}, {"handle", all.handle_of(a)}, {"keys", std::move(keys)}});
}

}  // namespace

recorder::recorder(const std::string& path) : path_(path), file_(path, std::ios::binary) {}

void recorder::append(std::string_view message) {
  const auto size = static_cast<std::uint32_t>(message.size());
  for (int shift = 0; shift < 32; shift += 8) file_.put(static_cast<char>(size >> shift));
  file_.write(message.data(), static_cast<std::streamsize>(message.size()));
  ++messages_;
}

result<> recorder::finish(network& n) {
  const std::string name = path_ + ".accounts";
  std::ofstream out(name, std::ios::binary);
  for (std::uint32_t i = 0; i < n.accounts().size(); ++i) {
    const account& a = n.accounts().peek(i);
    if (a.repo.rev != 0) out << account_line(n.accounts(), a) << '\n';
  }
  if (!file_.flush()) return fail(errc::storage, "cannot write {}", path_);
  if (!out.flush()) return fail(errc::storage, "cannot write {}", name);
  return {};
}

// The key "seq", then an unsigned integer. The same four bytes in a text are followed by text, above 0x1f.
std::uint64_t seq_of(std::string_view message) noexcept {
  for (std::size_t at = message.find("cseq"); at != std::string_view::npos; at = message.find("cseq", at + 1)) {
    if (at + 5 > message.size()) return 0;
    const auto lead = static_cast<unsigned char>(message[at + 4]);
    if (lead < 24) return lead;
    if (lead > 27) continue;
    const std::size_t size = std::size_t{1} << (lead - 24);
    if (at + 5 + size > message.size()) return 0;
    std::uint64_t out = 0;
    for (const char c : message.substr(at + 5, size)) out = out << 8 | static_cast<unsigned char>(c);
    return out;
  }
  return 0;
}

player::player(signed_feed& f, std::vector<std::string> pds, std::function<void()> cut,
               std::function<std::uint64_t()> clients)
    : feed_(f),
      pds_(std::move(pds)),
      cut_(std::move(cut)),
      clients_(std::move(clients)),
      plc_("plc", [this](injection i) { log_.add(std::move(i)); }) {}

result<> player::open(const std::string& path) {
  file_.open(path, std::ios::binary);
  if (!file_) return fail(errc::bad_config, "cannot read {}", path);
  return read_accounts(path + ".accounts");
}

// Without accounts beside it, a recording has no directory, and is served all the same.
result<> player::read_accounts(const std::string& path) {
  std::ifstream in(path);
  for (std::string text; std::getline(in, text);) {
    boost::system::error_code ec;
    const json::value line = json::parse(text, ec);
    if (ec) return fail(errc::bad_config, "{} is no file of accounts: {}", path, ec.message());
    known k{.number = line.at("number").to_number<std::uint32_t>(), .handle = line.at("handle").as_string().c_str()};
    for (const json::value& key : line.at("keys").as_array())
      k.keys.emplace_back(key.at("from").to_number<std::uint64_t>(), key.at("key").as_string().c_str());
    accounts_.emplace(line.at("did").as_string().c_str(), std::move(k));
  }
  return {};
}

bool player::next() {
  unsigned char head[4];
  if (!file_.read(reinterpret_cast<char*>(head), sizeof head)) return false;
  const std::size_t size =
      std::size_t{head[0]} | std::size_t{head[1]} << 8 | std::size_t{head[2]} << 16 | std::size_t{head[3]} << 24;
  if (size > max_message) return false;
  message_.resize(size);
  if (!file_.read(message_.data(), static_cast<std::streamsize>(size))) return false;
  feed_.append(seq_of(message_), message_);
  return true;
}

answer player::document(std::string_view did) {
  ++plc_requests_;
  const outage_met met = plc_.meet(did);
  if (auto instead = plc_.instead(met)) return *instead;
  const auto found = accounts_.find(std::string(did));
  if (found == accounts_.end()) return {.status = 404, .body = R"({"message":"DID not registered"})"};
  const known& k = found->second;
  std::string_view key = k.keys.front().second;
  for (const auto& [from, later] : k.keys)
    if (from <= feed_.last_seq()) key = later;
  return {.body = did_document(did, k.handle, key, pds_[k.number % pds_.size()]), .delay = delay_of(met)};
}

answer player::respond(const place& at, const request& r) {
  if (at.role == role::plc && r.target.starts_with("/did:")) return document(std::string_view(r.target).substr(1));
  if (at.role == role::relay && (r.target == "/" || r.target.starts_with("/control/"))) return control(r);
  if (r.target.starts_with("/xrpc/")) return refusal(501, "MethodNotImplemented", "a replay serves no repos");
  return refusal(404, "NotFound", "no such page");
}

answer player::control(const request& r) {
  const std::string_view path = std::string_view(r.target).substr(0, r.target.find('?'));
  const query q = parse_query(r.target);
  if (path == "/control/faults") return {.body = log_.json(no_plan_)};
  if (path == "/control/plc") {
    const auto set = plc_.set(q);
    return set.has_error() ? refusal(400, "InvalidRequest", set.error().text) : answer{.body = R"({"done":true})"};
  }
  if (path == "/control/fault" && value_of(q, "kind") == "disconnect") {
    log_.add({.kind = name(fault::disconnect), .did = {}, .expect = "equal"});
    cut_();
    return {.body = R"({"done":true})"};
  }
  if (path != "/" && path != "/control/state") return refusal(404, "NotFound", "a replay has no such control route");
  return {.body = fmt::format(
              R"({{"emitted":{},"seq":{},"total":{},"finished":{},"accounts":{},"clients":{},"plc_requests":{}}})",
              feed_.emitted(), feed_.last_seq(), feed_.total(), feed_.finished(), accounts_.size(), clients_(),
              plc_requests_)};
}

}  // namespace recordkv::sim
