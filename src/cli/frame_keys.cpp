#include "frame_keys.hpp"

#include "recordkv/identity/resolver.hpp"

#include <boost/json.hpp>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

namespace recordkv::cli {
namespace {

using namespace std::chrono_literals;
namespace json = boost::json;

constexpr std::size_t max_keys = 100'000;
constexpr auto young = 60s;

key_answer key_in(std::string_view did, const json::value& document) {
  const auto identity = identity::read_did_document(did, json::serialize(document), true);
  if (!identity) return identity.error();
  return atproto::public_key::from_multikey(identity->key);
}

result<json::value> read_json(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in) return fail(errc::bad_config, "--keys {}: {}", path, std::strerror(errno));
  boost::system::error_code ec;
  auto all = json::parse(text, ec);
  if (ec) return fail(errc::bad_config, "--keys {} is not JSON: {}", path, ec.message());
  return all;
}

std::string_view text_at(const json::value& v, std::string_view name) {
  const auto* object = v.if_object();
  const auto* member = object ? object->if_contains(name) : nullptr;
  return member && member->is_string() ? std::string_view(member->get_string()) : std::string_view{};
}

std::uint64_t number_at(const json::object& o, std::string_view name) {
  boost::system::error_code ec;
  const auto* member = o.if_contains(name);
  return member ? member->to_number<std::uint64_t>(ec) : 0;
}

}  // namespace

result<key_file> key_file::open(const std::string& path) {
  const auto all = read_json(path);
  if (!all) return all.error();
  const auto wrong = [&path] {
    return fail(errc::bad_config,
                "--keys {}: write a JSON array of DID documents, or an object with a document for each DID", path);
  };
  key_file out;
  if (const auto* documents = all->if_array()) {
    for (const auto& d : *documents) {
      const auto did = text_at(d, "id");
      if (did.empty()) return wrong();
      out.keys_[std::string(did)] = {{0, key_in(did, d)}};
    }
    return out;
  }
  if (!all->is_object()) return wrong();
  for (const auto& [did, d] : all->get_object()) {
    auto& versions = out.keys_[std::string(did)];
    if (d.is_object()) versions = {{0, key_in(did, d)}};
    if (!d.is_array()) continue;
    for (const auto& v : d.get_array()) {
      const auto* one = v.if_object();
      const auto* document = one ? one->if_contains("doc") : nullptr;
      if (!document) return wrong();
      versions.push_back({number_at(*one, "fromSeq"), key_in(did, *document)});
    }
  }
  return out;
}

key_answer key_file::find(std::string_view did, std::uint64_t seq) const {
  const version* newest = nullptr;
  if (const auto versions = keys_.find(did); versions != keys_.end())
    for (const auto& v : versions->second)
      if (v.from_seq <= seq && (!newest || v.from_seq >= newest->from_seq)) newest = &v;
  if (!newest) return fail(errc::not_found, "not in the file of keys");
  return newest->key;
}

task<key_answer> key_cache::find(std::string did) {
  if (const auto known = known_.find(did); known != known_.end()) co_return known->second.key;
  auto answer = co_await ask_(did);
  if (!answer && unanswered(answer.error())) co_return answer;
  if (known_.size() >= max_keys) known_.clear();
  known_.insert_or_assign(std::move(did), entry{answer, clock::now()});
  co_return answer;
}

bool key_cache::forget_if_old(const std::string& did) {
  const auto known = known_.find(did);
  if (known == known_.end() || clock::now() - known->second.asked < young) return false;
  known_.erase(known);
  return true;
}

}  // namespace recordkv::cli
