#include "filter.hpp"

#include "feed.hpp"
#include "jetstream.hpp"

#include <boost/json.hpp>

#include <charconv>

namespace recordkv::sim {
namespace {

namespace json = boost::json;

std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr == text.data() + i + 3) {
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

query pairs_of(const json::object& payload) {
  query out;
  for (const char* name : {"wantedCollections", "wantedDids"})
    if (const json::value* list = payload.if_contains(name); list != nullptr && list->is_array())
      for (const json::value& item : list->get_array())
        if (item.is_string()) out.emplace_back(name, std::string(item.get_string()));
  if (const json::value* size = payload.if_contains("maxMessageSizeBytes"); size != nullptr && size->is_int64())
    out.emplace_back("maxMessageSizeBytes", std::to_string(size->get_int64()));
  return out;
}

}  // namespace

query parse_query(std::string_view target) {
  query out;
  const std::size_t mark = target.find('?');
  if (mark == std::string_view::npos) return out;
  for (std::string_view rest = target.substr(mark + 1); !rest.empty();) {
    const std::string_view item = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    const std::size_t equals = std::min(item.find('='), item.size());
    out.emplace_back(decoded(item.substr(0, equals)), decoded(item.substr(std::min(item.size(), equals + 1))));
  }
  return out;
}

std::string_view value_of(const query& q, std::string_view name) {
  std::string_view out;
  for (const auto& [n, value] : q)
    if (n == name) out = value;
  return out;
}

result<> filter::want_collection(std::string_view wanted) {
  collections_.resize(collections.size());
  if (wanted.ends_with(".*")) {
    const std::string_view prefix = wanted.substr(0, wanted.size() - 1);
    for (std::size_t i = 0; i < collections.size(); ++i)
      if (collections[i].starts_with(prefix)) collections_[i] = true;
    return {};
  }
  if (wanted.find('.') == std::string_view::npos) return fail(errc::malformed, "{} is no NSID", wanted);
  for (std::size_t i = 0; i < collections.size(); ++i)
    if (collections[i] == wanted) collections_[i] = true;
  return {};
}

result<filter> filter::from(const query& q) {
  filter out;
  std::size_t wanted = 0;
  for (const auto& [name, value] : q) {
    if (name == "wantedDids") {
      if (!value.starts_with("did:")) return fail(errc::malformed, "{} is no DID", value);
      out.dids_.insert(value);
    } else if (name == "wantedCollections") {
      if (++wanted > 100) return fail(errc::malformed, "more than 100 wantedCollections");
      if (auto done = out.want_collection(value); done.has_error()) return done.error();
    } else if (name == "maxMessageSizeBytes") {
      std::from_chars(value.data(), value.data() + value.size(), out.max_size_);
    }
  }
  if (out.dids_.size() > 10'000) return fail(errc::malformed, "more than 10,000 wantedDids");
  return out;
}

result<filter> filter::from_message(std::string_view text) {
  boost::system::error_code ec;
  const json::value message = json::parse(text, ec);
  if (ec || !message.is_object()) return fail(errc::malformed, "a client's message is JSON");
  const json::value* type = message.get_object().if_contains("type");
  const json::value* payload = message.get_object().if_contains("payload");
  if (type == nullptr || *type != "options_update" || payload == nullptr || !payload->is_object())
    return fail(errc::malformed, "a client sends options_update with a payload, nothing else");
  return from(pairs_of(payload->get_object()));
}

bool filter::wants(std::uint16_t tag, std::string_view text) const {
  if (!collections_.empty() && tag != about_account && !collections_[tag]) return false;
  if (!dids_.empty() && !dids_.contains(text.substr(did_at, 32))) return false;
  return max_size_ == 0 || text.size() <= max_size_;
}

}  // namespace recordkv::sim
