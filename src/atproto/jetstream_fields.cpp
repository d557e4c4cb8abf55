#include "jetstream_fields.hpp"

#include <boost/json/basic_parser_impl.hpp>

#include <limits>

namespace recordkv::atproto {
namespace {

namespace json = boost::json;
using boost::system::error_code;

/// Takes what the parser comes across. It keeps the fields, and passes over everything else.
class taker {
 public:
  static constexpr std::size_t max_object_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_array_size = max_object_size;
  static constexpr std::size_t max_key_size = max_object_size;
  static constexpr std::size_t max_string_size = max_object_size;

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }

  bool on_object_begin(error_code&) {
    if (depth_ == 0) root_ = true;
    if (depth_ == 1 && object_ != nullptr) object_->there = true, inside_ = object_;
    ++depth_;
    return settle();
  }
  bool on_object_end(std::size_t, error_code&) { return leave(); }
  bool on_array_begin(error_code&) {
    ++depth_;
    return settle();
  }
  bool on_array_end(std::size_t, error_code&) { return leave(); }

  bool on_key_part(json::string_view part, std::size_t, error_code&) { return key_.append(part), true; }
  bool on_key(json::string_view part, std::size_t, error_code&) {
    if (key_.empty()) return choose(part), true;
    choose(key_.append(part));
    return key_.clear(), true;
  }

  bool on_string_part(json::string_view part, std::size_t, error_code&) {
    if (text_ != nullptr) text_->append(part);
    return true;
  }
  bool on_string(json::string_view part, std::size_t, error_code&) {
    if (text_ != nullptr) text_->append(part);
    return settle();
  }
  bool on_number_part(json::string_view, error_code&) { return true; }
  bool on_int64(std::int64_t n, json::string_view, error_code&) {
    return take(n > 0 ? static_cast<std::uint64_t>(n) : 0);
  }
  bool on_uint64(std::uint64_t n, json::string_view, error_code&) { return take(n); }
  bool on_double(double, json::string_view, error_code&) { return settle(); }
  bool on_bool(bool, error_code&) { return settle(); }
  bool on_null(error_code&) { return settle(); }
  bool on_comment_part(json::string_view, error_code&) { return true; }
  bool on_comment(json::string_view, error_code&) { return true; }

  bool is_object() const { return root_; }
  jetstream_fields out;

 private:
  /// Where the value of this key goes. What an earlier one left there is gone.
  void choose(std::string_view key) {
    settle();
    if (depth_ == 1) {
      text_ = text_of(out, key);
      number_ = key == "time_us" ? &out.time_us : key == "cursor" ? &out.cursor : nullptr;
      object_ = key == "commit" ? &out.commit : key == "payload" ? &out.payload : nullptr;
      if (object_ != nullptr) *object_ = {};
    } else if (depth_ == 2 && inside_ != nullptr) {
      text_ = text_of(*inside_, key);
      number_ = key == "seq" ? &inside_->seq : nullptr;
    }
    if (text_ != nullptr) text_->clear();
    if (number_ != nullptr) *number_ = 0;
  }

  static std::string* text_of(jetstream_fields& f, std::string_view key) {
    return key == "$type"     ? &f.type
           : key == "kind"    ? &f.kind
           : key == "did"     ? &f.did
           : key == "error"   ? &f.error
           : key == "message" ? &f.message
                              : nullptr;
  }
  static std::string* text_of(jetstream_fields::object& o, std::string_view key) {
    return key == "$type"        ? &o.type
           : key == "did"        ? &o.did
           : key == "time"       ? &o.time
           : key == "name"       ? &o.name
           : key == "collection" ? &o.collection
           : key == "rev"        ? &o.rev
                                 : nullptr;
  }

  /// The value of the last key has come.
  bool settle() { return text_ = nullptr, number_ = nullptr, object_ = nullptr, true; }
  bool take(std::uint64_t n) {
    if (number_ != nullptr) *number_ = n;
    return settle();
  }
  bool leave() {
    if (--depth_ == 1) inside_ = nullptr;
    return true;
  }

  bool root_ = false;
  int depth_ = 0;
  std::string* text_ = nullptr;                 // where the next value goes if it is a text,
  std::uint64_t* number_ = nullptr;             // a number,
  jetstream_fields::object* object_ = nullptr;  // an object
  jetstream_fields::object* inside_ = nullptr;  // the object whose members are being read
  std::string key_;                             // of one that comes in parts
};

}  // namespace

std::optional<jetstream_fields> read_jetstream_fields(std::string_view text, std::size_t max_depth) {
  json::parse_options options;
  options.max_depth = max_depth;
  json::basic_parser<taker> parser(options);
  error_code ec;
  const auto read = parser.write_some(false, text.data(), text.size(), ec);
  if (ec || read != text.size() || !parser.done() || !parser.handler().is_object()) return {};
  return std::move(parser.handler().out);
}

}  // namespace recordkv::atproto
