// Fields of JSON objects that other programs wrote.
//
// Owns: what a field counts as when it is absent or has another type: empty, 0, false or nothing.
// Does not know: which fields must be there. The caller checks what it cannot do without.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv {

/// A view into `o`. Empty: absent, or no text.
inline std::string_view text_field(const boost::json::object& o, std::string_view key) noexcept {
  const auto* v = o.if_contains(key);
  return v != nullptr && v->is_string() ? std::string_view(v->get_string()) : std::string_view{};
}

/// `otherwise`: absent, not an integer, or beyond 64 bits with a sign.
inline std::int64_t integer_field(const boost::json::object& o, std::string_view key,
                                  std::int64_t otherwise = 0) noexcept {
  const auto* v = o.if_contains(key);
  const auto* n = v != nullptr ? v->if_int64() : nullptr;
  return n != nullptr ? *n : otherwise;
}

/// 0: absent, not an integer, or negative.
inline std::uint64_t unsigned_field(const boost::json::object& o, std::string_view key) noexcept {
  const auto* v = o.if_contains(key);
  if (v == nullptr) return 0;
  if (v->is_uint64()) return v->get_uint64();
  return v->is_int64() && v->get_int64() > 0 ? static_cast<std::uint64_t>(v->get_int64()) : 0;
}

/// Any number, also a fraction. 0: absent, or no number.
inline double number_field(const boost::json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  return v != nullptr && v->is_number() ? v->to_number<double>() : 0;
}

/// Whether the field is there and true.
inline bool flag_field(const boost::json::object& o, std::string_view key) noexcept {
  const auto* v = o.if_contains(key);
  return v != nullptr && v->is_bool() && v->get_bool();
}

/// nullptr: absent, or no object.
inline const boost::json::object* object_field(const boost::json::object& o, std::string_view key) noexcept {
  const auto* v = o.if_contains(key);
  return v != nullptr ? v->if_object() : nullptr;
}

/// nullptr: absent, or no array.
inline const boost::json::array* array_field(const boost::json::object& o, std::string_view key) noexcept {
  const auto* v = o.if_contains(key);
  return v != nullptr ? v->if_array() : nullptr;
}

/// The texts of an array, in their order; elements that are no text are passed over.
inline std::vector<std::string> texts_field(const boost::json::object& o, std::string_view key) {
  std::vector<std::string> out;
  if (const auto* all = array_field(o, key))
    for (const auto& v : *all)
      if (const auto* text = v.if_string()) out.emplace_back(*text);
  return out;
}

}  // namespace recordkv
