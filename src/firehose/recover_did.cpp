#include "recover_did.hpp"

#include "recordkv/atproto/syntax.hpp"

#include <algorithm>

namespace recordkv::firehose {
namespace {

using std::string_view;

// A CBOR text string's contents; empty when `in` does not begin with a whole text string.
string_view cbor_text(string_view in) {
  const auto at = [in](std::size_t i) -> std::size_t { return static_cast<unsigned char>(in[i]); };
  if (in.size() >= 1 && at(0) >= 0x60 && at(0) <= 0x77)
    return in.size() > at(0) - 0x60 ? in.substr(1, at(0) - 0x60) : string_view{};
  if (in.size() >= 2 && at(0) == 0x78) return in.size() - 2 >= at(1) ? in.substr(2, at(1)) : string_view{};
  if (in.size() >= 3 && at(0) == 0x79) {
    const std::size_t n = at(1) << 8 | at(2);
    return in.size() - 3 >= n ? in.substr(3, n) : string_view{};
  }
  return {};
}

// A JSON string that follows a colon, without escapes (a DID has none).
string_view json_text(string_view in) {
  in.remove_prefix(std::min(in.size(), in.find_first_not_of(" \t\r\n")));
  if (!in.starts_with(':')) return {};
  in.remove_prefix(1);
  in.remove_prefix(std::min(in.size(), in.find_first_not_of(" \t\r\n")));
  if (!in.starts_with('"')) return {};
  in.remove_prefix(1);
  const auto end = in.find('"');
  return end == string_view::npos ? string_view{} : in.substr(0, end);
}

string_view after_key(string_view in, string_view key, string_view (*text)(string_view)) {
  for (auto at = in.find(key); at != string_view::npos; at = in.find(key, at + 1))
    if (const auto did = text(in.substr(at + key.size())); atproto::is_did(did)) return did;
  return {};
}

}  // namespace

std::string recover_did(string_view bytes) {
  const auto head = bytes.substr(0, 64 * 1024);
  if (bytes.starts_with('{')) return std::string(after_key(head, R"("did")", json_text));
  const auto cbor = head.substr(0, head.find("\x66"
                                             "blocks"));
  if (const auto repo = after_key(cbor,
                                  "\x64"
                                  "repo",
                                  cbor_text);
      !repo.empty())
    return std::string(repo);
  return std::string(after_key(cbor,
                               "\x63"
                               "did",
                               cbor_text));
}

}  // namespace recordkv::firehose
