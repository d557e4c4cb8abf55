// DAG-CBOR as the AT Protocol uses it, read token by token from untrusted bytes.
//
// Owns: the strict profile (what is a token, what is canonical, how much is too much).
// Does not know: what a document means, JSON, hashes. Never allocates, never copies.
// Sources: atproto.com data model; DAG-CBOR and DRISL profiles; limits of the Go reference.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace recordkv::atproto::cbor {

inline constexpr std::size_t max_depth = 32;         ///< open arrays and maps
inline constexpr std::size_t max_entries = 131'072;  ///< elements of one array, pairs of one map
inline constexpr std::size_t max_key = 8192;         ///< bytes of a map key

enum class kind : std::uint8_t {
  integer,
  bytes,
  text,
  array,  ///< count() items follow
  map,    ///< count() pairs follow, each a text and a value
  link,   ///< tag 42
  boolean,
  null,
  end,  ///< every byte has been read, and no array or map is open
  bad,  ///< not in the profile; stays so, see flaw()
};

/// In which order the keys of a map may come. What is hashed or signed (records, commits) has one form only. The
/// envelope of a frame is neither, so its keys may come in any order. The reader of its fields refuses repeated keys.
enum class key_order : bool { ascending, any };

/// A pull reader: one call, one token. Reads a sequence of items until the bytes are used up, so a caller that wants
/// exactly one item asks for kind::end afterwards. An array or map is closed by its last element, without a token.
///
/// Refused:
///   - lengths and integers not in their shortest form, indefinite lengths;
///   - tags other than 42, floats, undefined and other simple values, integers beyond 64 bits with a sign;
///   - map keys that are not text, or not in strictly ascending order (shorter first, then bytewise);
///   - text that is not UTF-8, links that are not a CIDv1;
///   - more than the limits above allow.
///
/// Views point into the bytes given to the constructor.
class reader {
 public:
  explicit reader(std::string_view bytes, key_order keys = key_order::ascending) noexcept
      : bytes_(bytes), keys_(keys) {}

  kind next() noexcept;

  kind what() const noexcept { return kind_; }
  std::int64_t integer() const noexcept { return number_; }
  bool boolean() const noexcept { return number_ != 0; }
  std::size_t count() const noexcept { return static_cast<std::size_t>(number_); }  ///< array, map
  std::string_view view() const noexcept { return view_; }  ///< bytes, text: the content; link: the binary CID

  /// Reads the rest of the item whose first token was the last next(). False on kind::bad or kind::end.
  bool skip() noexcept;

  /// How many arrays and maps are open.
  std::size_t depth() const noexcept { return depth_; }
  /// Bytes consumed so far.
  std::size_t position() const noexcept { return at_; }
  /// Why it is kind::bad: one short word from a closed set ("float", "key_order"); empty otherwise.
  std::string_view flaw() const noexcept { return flaw_; }

 private:
  struct container {
    const char* last_key;  // null before the first
    std::uint32_t last_key_size;
    std::uint32_t left;  // items still to come: elements, or keys plus values
    bool is_map;
  };

  kind refuse(std::string_view why) noexcept;
  kind read_link() noexcept;
  kind open_container(bool is_map, std::uint64_t n) noexcept;
  bool accept_key() noexcept;

  std::string_view bytes_;
  key_order keys_;
  std::size_t at_ = 0;
  kind kind_ = kind::end;
  std::int64_t number_ = 0;
  std::string_view view_;
  std::string_view flaw_;
  std::size_t depth_ = 0;
  std::array<container, max_depth> open_;  // [0, depth_) are alive; the rest is left uninitialised: a reader is cheap
};

/// Strict UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view s) noexcept;

}  // namespace recordkv::atproto::cbor
