// The grammar of identifiers, as loops over ASCII.
//
// Owns: character classes, lengths and label rules.
// Does not know: what an identifier stands for. No regular expressions: these run for every op of every frame.
#include "recordkv/atproto/syntax.hpp"

#include <algorithm>
#include <array>

namespace recordkv::atproto {

namespace {

constexpr bool lower(char c) { return c >= 'a' && c <= 'z'; }
constexpr bool upper(char c) { return c >= 'A' && c <= 'Z'; }
constexpr bool digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool alpha(char c) { return lower(c) || upper(c); }
constexpr bool alnum(char c) { return alpha(c) || digit(c); }

/// One host name label: 1–63 letters, digits and inner hyphens.
bool is_label(std::string_view s) {
  return !s.empty() && s.size() <= 63 && s.front() != '-' && s.back() != '-' &&
         std::ranges::all_of(s, [](char c) { return alnum(c) || c == '-'; });
}

/// Splits at dots and hands each piece to `accept(piece, is_first, is_last)`; the number of pieces, 0 on a refusal.
template <class Accept>
std::size_t labels(std::string_view s, Accept accept) {
  std::size_t n = 0;
  for (;; ++n) {
    const auto dot = s.find('.');
    if (!accept(s.substr(0, dot), n == 0, dot == s.npos)) return 0;
    if (dot == s.npos) return n + 1;
    s.remove_prefix(dot + 1);
  }
}

}  // namespace

bool is_did(std::string_view s) noexcept {
  if (s.size() > 2048 || !s.starts_with("did:")) return false;
  const auto colon = s.find(':', 4);
  if (colon == s.npos || colon == 4) return false;
  if (!std::ranges::all_of(s.substr(4, colon - 4), lower)) return false;
  const auto id = s.substr(colon + 1);
  if (id.empty() || id.back() == ':' || id.back() == '%') return false;
  return std::ranges::all_of(
      id, [](char c) { return alnum(c) || c == '.' || c == '_' || c == ':' || c == '%' || c == '-'; });
}

bool is_nsid(std::string_view s) noexcept {
  if (s.size() > 317) return false;  // no limit of its own for the authority: the interoperability lists have longer
  return labels(s, [](std::string_view piece, bool first, bool last) {
           if (!is_label(piece)) return false;
           if (first && !alpha(piece.front())) return false;
           return !last || (alpha(piece.front()) && std::ranges::all_of(piece, alnum));
         }) >= 3;
}

bool is_rkey(std::string_view s) noexcept {
  if (s.empty() || s.size() > 512 || s == "." || s == "..") return false;
  return std::ranges::all_of(
      s, [](char c) { return alnum(c) || c == '_' || c == '~' || c == '.' || c == ':' || c == '-'; });
}

bool is_tid(std::string_view s) noexcept {
  // The top bit of the 65 that 13 characters hold is unused and the next is the sign, hence a..j at most in front.
  if (s.size() != 13 || s.front() > 'j') return false;
  return std::ranges::all_of(s, [](char c) { return lower(c) || (c >= '2' && c <= '7'); });
}

std::int64_t tid_micros(std::string_view tid) noexcept {
  std::uint64_t n = 0;
  for (const char c : tid) n = n << 5 | static_cast<std::uint64_t>(lower(c) ? c - 'a' + 6 : c - '2');
  return static_cast<std::int64_t>(n >> 10);  // ten bits of clock identifier
}

bool is_handle(std::string_view s) noexcept {
  if (s.size() > 253) return false;
  return labels(s, [](std::string_view piece, bool, bool last) {
           return is_label(piece) && (!last || alpha(piece.front()));
         }) >= 2;
}

std::optional<at_uri> parse_at_uri(std::string_view s) noexcept {
  if (s.size() > 8192 || !s.starts_with("at://")) return std::nullopt;
  s.remove_prefix(5);
  std::array<std::string_view, 3> parts;
  std::size_t n = 0;
  for (;;) {
    const auto slash = s.find('/');
    parts[n++] = s.substr(0, slash);
    if (slash == s.npos) break;
    if (n == parts.size()) return std::nullopt;
    s.remove_prefix(slash + 1);
  }
  if (!is_did(parts[0]) && !is_handle(parts[0])) return std::nullopt;
  if (n > 1 && !is_nsid(parts[1])) return std::nullopt;
  if (n > 2 && !is_rkey(parts[2])) return std::nullopt;
  return at_uri{parts[0], parts[1], parts[2]};
}

}  // namespace recordkv::atproto
