// The tokenizer's callbacks and the profile's rules.
//
// Owns: the seam to libcbor. Its streaming decoder only splits bytes into tokens and never allocates; its allocating
// API costs two hundred allocations a post and is not used anywhere.
// Does not know: what is read.
#include "recordkv/atproto/cbor.hpp"

#include "recordkv/atproto/cid.hpp"

#include <cbor.h>

#include <cstring>
#include <limits>

namespace recordkv::atproto::cbor {

namespace {

enum class raw : std::uint8_t {
  none,
  positive,
  negative,
  bytes,
  text,
  array,
  map,
  tag,
  boolean,
  null,
  floating,
  other
};

struct token {
  raw what = raw::none;
  std::uint64_t number = 0;
  std::string_view content;
};

token& as_token(void* p) { return *static_cast<token*>(p); }

template <raw What, class Number>
void on_number(void* p, Number n) {
  as_token(p) = {What, static_cast<std::uint64_t>(n), {}};
}

template <raw What>
void on_string(void* p, cbor_data data, std::size_t size) {
  as_token(p) = {What, size, {reinterpret_cast<const char*>(data), size}};
}

template <raw What>
void on_simple(void* p) {
  as_token(p) = {What, 0, {}};
}

template <class Real>
void on_float(void* p, Real) {
  as_token(p).what = raw::floating;
}

const cbor_callbacks& callbacks() {
  static const cbor_callbacks table = [] {
    cbor_callbacks c{};
    c.uint8 = on_number<raw::positive, std::uint8_t>;
    c.uint16 = on_number<raw::positive, std::uint16_t>;
    c.uint32 = on_number<raw::positive, std::uint32_t>;
    c.uint64 = on_number<raw::positive, std::uint64_t>;
    c.negint8 = on_number<raw::negative, std::uint8_t>;
    c.negint16 = on_number<raw::negative, std::uint16_t>;
    c.negint32 = on_number<raw::negative, std::uint32_t>;
    c.negint64 = on_number<raw::negative, std::uint64_t>;
    c.byte_string = on_string<raw::bytes>;
    c.string = on_string<raw::text>;
    c.array_start = on_number<raw::array, std::size_t>;
    c.map_start = on_number<raw::map, std::size_t>;
    c.tag = on_number<raw::tag, std::uint64_t>;
    c.boolean = on_number<raw::boolean, bool>;
    c.null = on_simple<raw::null>;
    c.float2 = on_float<float>;
    c.float4 = on_float<float>;
    c.float8 = on_float<double>;
    c.undefined = c.indef_break = c.byte_string_start = c.string_start = on_simple<raw::other>;
    c.indef_array_start = c.indef_map_start = on_simple<raw::other>;
    return c;
  }();
  return table;
}

/// The bytes that the shortest head with this argument takes.
constexpr std::size_t head_size(std::uint64_t n) {
  return n < 24 ? 1 : n <= 0xFF ? 2 : n <= 0xFFFF ? 3 : n <= 0xFFFF'FFFF ? 5 : 9;
}

/// Splits one token off. An empty answer is success, with the token and how many bytes it took; otherwise the flaw.
std::string_view take(std::string_view bytes, token& t, std::size_t& read) {
  const auto r = cbor_stream_decode(reinterpret_cast<cbor_data>(bytes.data()), bytes.size(), &callbacks(), &t);
  if (r.status != CBOR_DECODER_FINISHED) return "encoding";
  if (t.what == raw::floating) return "float";
  if (t.what == raw::other || t.what == raw::none) return "encoding";
  if (t.what < raw::boolean && r.read - t.content.size() != head_size(t.number)) return "not_minimal";
  read = r.read;
  return {};
}

constexpr std::uint64_t int64_max = std::numeric_limits<std::int64_t>::max();

}  // namespace

kind reader::refuse(std::string_view why) noexcept {
  flaw_ = why;
  view_ = {};
  return kind_ = kind::bad;
}

bool reader::accept_key() noexcept {
  auto& map = open_[depth_ - 1];
  if (view_.size() > max_key) return false;
  if (keys_ == key_order::any) return true;
  if (map.last_key != nullptr) {
    if (view_.size() < map.last_key_size) return false;
    if (view_.size() == map.last_key_size && std::memcmp(map.last_key, view_.data(), view_.size()) >= 0) return false;
  }
  map.last_key = view_.data();
  map.last_key_size = static_cast<std::uint32_t>(view_.size());
  return true;
}

kind reader::read_link() noexcept {
  token t;
  std::size_t read = 0;
  if (!take(bytes_.substr(at_), t, read).empty() || t.what != raw::bytes) return refuse("cid");
  if (!t.content.starts_with('\0') || !is_cid(t.content.substr(1))) return refuse("cid");
  at_ += read;
  view_ = t.content.substr(1);
  return kind_ = kind::link;
}

kind reader::open_container(bool is_map, std::uint64_t n) noexcept {
  // Every element takes at least one byte, so a count beyond the rest of the input is false.
  if (n > max_entries || n * (is_map ? 2 : 1) > bytes_.size() - at_) return refuse("count");
  if (depth_ == max_depth) return refuse("depth");
  kind_ = is_map ? kind::map : kind::array;
  if (n != 0) open_[depth_++] = {nullptr, 0, static_cast<std::uint32_t>(is_map ? n * 2 : n), is_map};
  return kind_;
}

kind reader::next() noexcept {
  if (kind_ == kind::bad) return kind_;
  if (at_ == bytes_.size()) return depth_ != 0 ? refuse("truncated") : (kind_ = kind::end);

  token t;
  std::size_t read = 0;
  if (const auto flaw = take(bytes_.substr(at_), t, read); !flaw.empty()) return refuse(flaw);
  at_ += read;
  view_ = t.content;
  number_ = static_cast<std::int64_t>(t.number);

  bool is_key = false;
  if (depth_ != 0) {
    auto& c = open_[depth_ - 1];
    is_key = c.is_map && c.left % 2 == 0;
    --c.left;
  }
  if (is_key && t.what != raw::text) return refuse("key");

  switch (t.what) {
    case raw::positive:
    case raw::negative:
      if (t.number > int64_max) return refuse("integer_range");
      if (t.what == raw::negative) number_ = -1 - number_;
      kind_ = kind::integer;
      break;
    case raw::text:
      if (is_key && !accept_key()) return refuse("key_order");
      if (!is_utf8(view_)) return refuse("utf8");
      kind_ = kind::text;
      break;
    case raw::bytes: kind_ = kind::bytes; break;
    case raw::boolean: kind_ = kind::boolean; break;
    case raw::null: kind_ = kind::null; break;
    case raw::tag:
      if (t.number != 42) return refuse("tag");
      if (read_link() == kind::bad) return kind_;
      break;
    default:
      if (open_container(t.what == raw::map, t.number) == kind::bad) return kind_;
  }
  while (depth_ != 0 && open_[depth_ - 1].left == 0) --depth_;
  return kind_;
}

bool reader::skip() noexcept {
  if (kind_ == kind::bad || kind_ == kind::end) return false;
  if ((kind_ != kind::array && kind_ != kind::map) || number_ == 0) return true;
  const auto outside = depth_ - 1;
  // Closing the last element may close several levels at once: then the depth falls below `outside`, too.
  while (depth_ > outside) {
    if (next() == kind::bad) return false;
  }
  return true;
}

bool is_utf8(std::string_view s) noexcept {
  const auto* p = reinterpret_cast<const unsigned char*>(s.data());
  const auto* const stop = p + s.size();
  const auto tail = [&](std::ptrdiff_t i) { return (p[i] & 0xC0) == 0x80; };
  while (p != stop) {
    if (stop - p >= 8) {
      std::uint64_t word;
      std::memcpy(&word, p, 8);
      if ((word & 0x8080'8080'8080'8080) == 0) {
        p += 8;
        continue;
      }
    }
    const unsigned char c = *p;
    if (c < 0x80) {
      p += 1;
    } else if (c >= 0xC2 && c <= 0xDF) {
      if (stop - p < 2 || !tail(1)) return false;
      p += 2;
    } else if (c >= 0xE0 && c <= 0xEF) {
      if (stop - p < 3 || !tail(1) || !tail(2)) return false;
      if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F)) return false;
      p += 3;
    } else if (c >= 0xF0 && c <= 0xF4) {
      if (stop - p < 4 || !tail(1) || !tail(2) || !tail(3)) return false;
      if ((c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F)) return false;
      p += 4;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace recordkv::atproto::cbor
