#include "plan/hooks.hpp"

#include "plan/sources.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace recordkv::view {
namespace {

/// Statements that only change rows. A BEGIN or COMMIT would break the transaction that moves the position. A table
/// made by a hook would belong to no build.
constexpr std::array<std::string_view, 6> beginnings{"insert", "update", "delete", "replace", "with", "select"};

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

class scanner {
 public:
  scanner(std::string_view sql, std::string_view view, source of) : in_(sql), view_(view), of_(of) {}

  hook_check run() {
    while (at_ < in_.size() && out_.mistake.empty()) one();
    if (out_.mistake.empty() && !any_) wrong("is empty; leave it out, or write a statement");
    return std::move(out_);
  }

 private:
  void wrong(std::string what) { out_.mistake = std::move(what); }

  /// Copies up to `end` to the output and goes on there.
  void take(std::size_t end) {
    out_.sql += in_.substr(at_, end - at_);
    at_ = end;
  }

  void one() {
    const char c = in_[at_];
    const auto two = in_.substr(at_, 2);
    if (two == "--") return comment(std::min(in_.find('\n', at_), in_.size()));
    if (two == "/*") return comment(in_.find("*/", at_ + 2));
    if (c == '\'' || c == '"') return quoted(c);
    if (c == '{') return placeholder();
    if (c == ':') return parameter();
    if (is_word(c)) return word();
    if (std::string_view("?@$#`[]}\\").contains(c))
      return wrong(fmt::format("\"{}\" is read differently by SQLite and PostgreSQL; write SQL without it", c));
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' && c != '\r')
      return wrong("holds a control character; leave it out");
    if (c == ';') begun_ = false;
    take(at_ + 1);
  }

  void comment(std::size_t end) {
    if (end == in_.npos) return wrong("a comment does not end; write */");
    out_.sql += ' ';
    at_ = in_[at_] == '-' ? end : end + 2;
  }

  void quoted(char mark) {
    auto end = at_ + 1;
    while (end < in_.size() && (in_[end] != mark || in_.substr(end, 2) == std::string(2, mark)))
      end += in_[end] == mark ? 2 : 1;
    if (end >= in_.size()) return wrong(fmt::format("a quotation does not end; write {}", mark));
    const auto inner = in_.substr(at_ + 1, end - at_ - 1);
    if (inner.contains("{table}"))
      return wrong("{table} stands in quotes, where nothing takes its place; write it bare");
    if (mark == '"' && is_table(inner)) return wrong(written_out(inner));
    if (!begun_) return wrong("begins with a quotation; write INSERT, UPDATE, DELETE or WITH");
    take(end + 1);
  }

  void placeholder() {
    const auto end = in_.find('}', at_);
    const auto inner = in_.substr(at_, end == in_.npos ? 40 : end + 1 - at_);
    if (inner != "{table}")
      return wrong(fmt::format("{} is no placeholder; the only one is {{table}}", inner.substr(0, 40)));
    if (end + 1 < in_.size() && (is_word(in_[end + 1]) || in_[end + 1] == '{'))
      return wrong("{table} stands for the view's table alone; nothing can be written on to its name");
    take(end + 1);
  }

  void parameter() {
    auto end = at_ + 1;
    while (end < in_.size() && is_word(in_[end])) ++end;
    const auto name = in_.substr(at_ + 1, end - at_ - 1);
    if (in_.substr(at_, 2) == "::") return wrong("\"::\" is PostgreSQL's alone; write CAST(value AS type)");
    if (name != "record" && !has_fact(of_, name))
      return wrong(fmt::format("\":{}\" is no parameter; there are :{}, :record", name.substr(0, 40),
                               fmt::join(traits_of(of_).facts, ", :")));
    take(end);
  }

  void word() {
    auto end = at_;
    while (end < in_.size() && is_word(in_[end])) ++end;
    const auto text = lower(in_.substr(at_, end - at_));
    if (is_table(text)) return wrong(written_out(text));
    if (end < in_.size() && in_[end] == '\'')
      return wrong(fmt::format("{}'…' is read differently by SQLite and PostgreSQL; write plain quotes", text));
    if (!begun_ && std::ranges::find(beginnings, text) == beginnings.end())
      return wrong(
          fmt::format("a statement begins with \"{}\"; a hook may INSERT, UPDATE and DELETE", text.substr(0, 40)));
    begun_ = any_ = true;
    take(end);
  }

  /// The view's own table, or one that goes with it.
  bool is_table(std::string_view word) const {
    if (!word.starts_with(view_)) return false;
    const auto rest = word.substr(view_.size());
    return rest.empty() || rest.starts_with("__next") || rest.starts_with("_by_") || rest == "_rejects";
  }

  std::string written_out(std::string_view word) const {
    return fmt::format("names the table \"{}\", which would be the wrong one during a rebuild; write {{table}}", word);
  }

  std::string_view in_, view_;
  source of_;
  std::size_t at_ = 0;
  bool begun_ = false;  ///< a statement has begun
  bool any_ = false;
  hook_check out_;
};

}  // namespace

hook_check check_hook(std::string_view sql, std::string_view view, source of) {
  if (sql.size() > 65536) return {.sql = {}, .mistake = "is longer than 64 KiB; a stage of your own may do more"};
  return scanner(sql, view, of).run();
}

}  // namespace recordkv::view
