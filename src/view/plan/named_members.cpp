#include "plan/named_members.hpp"

#include "plan/pointer.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/value_stack.hpp>

#include <algorithm>
#include <array>

namespace recordkv::view {
namespace {

namespace json = boost::json;
using boost::system::error_code;

/// Builds the value from what the parser comes across. The value of a member that is not named is passed over.
class builder {
 public:
  static constexpr std::size_t max_object_size = json::object::max_size();
  static constexpr std::size_t max_array_size = json::array::max_size();
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();

  builder(const plan& p, json::storage_ptr memory) : plan_(p), values_({}, room_.data(), room_.size()) {
    values_.reset(std::move(memory));
  }
  json::value take() { return values_.release(); }

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }

  bool on_object_begin(error_code&) { return enter(); }
  bool on_object_end(std::size_t members, error_code&) {
    if (leave()) values_.push_object(depth_ == 0 ? named_ : members);
    return true;
  }
  bool on_array_begin(error_code&) { return enter(); }
  bool on_array_end(std::size_t elements, error_code&) {
    if (leave()) values_.push_array(elements);
    return true;
  }

  bool on_key_part(json::string_view part, std::size_t, error_code&) {
    if (passing_) return true;
    depth_ == 1 ? void(key_.append(part)) : values_.push_chars(part);
    return true;
  }
  bool on_key(json::string_view part, std::size_t, error_code&) {
    if (passing_) return true;
    if (depth_ != 1) return values_.push_key(part), true;
    if (key_.empty()) return choose(part), true;
    choose(key_.append(part));
    return key_.clear(), true;
  }

  bool on_string_part(json::string_view part, std::size_t, error_code&) {
    if (!passing_) values_.push_chars(part);
    return true;
  }
  bool on_string(json::string_view part, std::size_t, error_code&) {
    if (is_kept()) values_.push_string(part);
    return true;
  }
  bool on_number_part(json::string_view, error_code&) { return true; }
  bool on_int64(std::int64_t n, json::string_view, error_code&) {
    if (is_kept()) values_.push_int64(n);
    return true;
  }
  bool on_uint64(std::uint64_t n, json::string_view, error_code&) {
    if (is_kept()) values_.push_uint64(n);
    return true;
  }
  bool on_double(double n, json::string_view, error_code&) {
    if (is_kept()) values_.push_double(n);
    return true;
  }
  bool on_bool(bool b, error_code&) {
    if (is_kept()) values_.push_bool(b);
    return true;
  }
  bool on_null(error_code&) {
    if (is_kept()) values_.push_null();
    return true;
  }
  bool on_comment_part(json::string_view, error_code&) { return true; }
  bool on_comment(json::string_view, error_code&) { return true; }

 private:
  void choose(std::string_view member) {
    passing_ = !names_member(plan_, member);
    if (passing_) return;
    values_.push_key(member);
    ++named_;
  }

  bool enter() {
    ++(passing_ ? passed_ : depth_);
    return true;
  }
  /// Whether the object or array that ends is kept.
  bool leave() {
    if (!passing_) return --depth_, true;
    passing_ = --passed_ > 0;
    return false;
  }
  /// Whether the string, number or other single value that ends is kept.
  bool is_kept() {
    if (!passing_) return true;
    passing_ = passed_ > 0;
    return false;
  }

  const plan& plan_;
  std::array<unsigned char, 4096> room_;
  json::value_stack values_;
  std::string key_;         // of the record itself, if it comes in parts
  std::size_t named_ = 0;   // members of the record that are kept
  std::size_t depth_ = 0;   // of the objects and arrays that are kept and open
  bool passing_ = false;    // the value of a member that is not named has begun, or follows
  std::size_t passed_ = 0;  // objects and arrays that are open in it
};

}  // namespace

bool names_member(const plan& p, std::string_view member) {
  const auto leads_into = [member](std::string_view pointer) {
    return pointer.empty() || begins_with(pointer, member);
  };
  const bool rows_of_elements = !p.each.empty();
  if (p.links || (rows_of_elements && begins_with(p.each, member))) return true;
  const auto by_column = [&](const column& c) {
    return (c.from == origin::record || (c.from == origin::element && !rows_of_elements)) && leads_into(c.pointer);
  };
  const auto by_term = [&](const term& t) { return (t.of_record || !rows_of_elements) && leads_into(t.pointer); };
  return std::ranges::any_of(p.columns, by_column) || std::ranges::any_of(p.where, by_term);
}

json::value parse_named_members(const plan& p, std::string_view text, const json::parse_options& options,
                                json::storage_ptr memory, error_code& ec) {
  json::basic_parser<builder> parser(options, p, std::move(memory));
  const auto read = parser.write_some(false, text.data(), text.size(), ec);
  if (!ec && read < text.size()) ec = json::error::extra_data;
  return ec ? json::value() : parser.handler().take();
}

}  // namespace recordkv::view
