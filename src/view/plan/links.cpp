#include "plan/links.hpp"

#include "recordkv/atproto/syntax.hpp"

#include <algorithm>

namespace recordkv::view {
namespace {

namespace json = boost::json;

/// http(s), a host, and nothing that a URL must escape. Letters beyond ASCII pass, because people write them.
bool is_url(std::string_view s) noexcept {
  if (!s.starts_with("https://") && !s.starts_with("http://")) return false;
  const auto rest = s.substr(s.find("//") + 2);
  if (rest.empty() || std::string_view("/?#:@").contains(rest[0])) return false;
  return std::ranges::all_of(rest, [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u > 0x20 && u != 0x7F && !std::string_view("\"<>\\^`{|}").contains(c);
  });
}

class walk {
 public:
  /// The recursion is as deep as the parser allowed the record to be.
  void into(const json::value& v) {
    if (const auto* const object = v.if_object()) {
      for (const auto& [key, inner] : *object) {
        if (key.find('\0') != key.npos) continue;  // no text of ours holds U+0000
        below(inner, ".", key, "");
      }
    } else if (const auto* const array = v.if_array()) {
      for (const auto& inner : *array) below(inner, "[", type_of(inner), "]");
    } else if (const auto* const text = v.if_string()) {
      const std::string_view target(text->data(), text->size());
      if (target.size() > max_link_target) return;
      if (const auto kind = link_kind(target); !kind.empty()) found_.push_back({kind, path_, target});
    }
  }
  std::vector<link> take() { return std::move(found_); }

 private:
  static std::string_view type_of(const json::value& v) {
    const auto* const object = v.if_object();
    const auto* const type = object != nullptr ? object->if_contains("$type") : nullptr;
    if (type == nullptr || !type->is_string()) return "";
    const std::string_view name(type->get_string());
    return name.contains('\0') ? "" : name;
  }

  void below(const json::value& inner, std::string_view before, std::string_view name, std::string_view after) {
    if (found_.size() == max_links || inner.is_number() || inner.is_bool() || inner.is_null()) return;
    const auto length = path_.size();
    if (length + name.size() + 2 > max_link_path) return;
    path_.append(before).append(name).append(after);
    into(inner);
    path_.resize(length);
  }

  std::string path_;
  std::vector<link> found_;
};

}  // namespace

std::string_view link_kind(std::string_view s) noexcept {
  if (s.size() < 5) return "";
  if (s[0] == 'a') return atproto::parse_at_uri(s) ? "at-uri" : "";
  if (s[0] == 'd') return atproto::is_did(s) ? "did" : "";
  return is_url(s) ? "url" : "";
}

std::vector<link> links_of(const json::value& record) {
  walk w;
  w.into(record);
  return w.take();
}

}  // namespace recordkv::view
