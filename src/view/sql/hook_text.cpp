#include "sql/hook_text.hpp"

#include "sql/statements.hpp"

#include <algorithm>
#include <array>

namespace recordkv::view {
namespace {

constexpr std::array<std::string_view, 8> parameter_names{"did", "collection", "rkey", "uri",
                                                          "cid", "rev",        "time", "record"};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_word(char c) { return is_letter(c) || (c >= '0' && c <= '9'); }

class hook_reader {
 public:
  hook_reader(std::string_view text, std::string_view table) : rest_(text), table_(identifier(table)) {}

  result<std::vector<hook_statement>> read() {
    while (!rest_.empty()) {
      if (const auto n = opaque(); n > 0) {
        const bool comment = rest_.starts_with("--") || rest_.starts_with("/*");
        comment ? void(one_.sql += ' ') : void(one_.sql += rest_.substr(0, n));
        written_ = written_ || !comment;
        rest_.remove_prefix(n);
      } else if (rest_.starts_with("{table}")) {
        put(table_, 7);
      } else if (rest_.starts_with("::")) {
        put("::", 2);
      } else if (rest_[0] == ':' && rest_.size() > 1 && is_letter(rest_[1])) {
        if (auto done = parameter(); !done) return done.error();
      } else if (rest_[0] == ';') {
        end();
        rest_.remove_prefix(1);
      } else {
        written_ = written_ || !std::string_view(" \t\r\n").contains(rest_[0]);
        one_.sql += rest_[0];
        rest_.remove_prefix(1);
      }
    }
    end();
    return std::move(out_);
  }

 private:
  void put(std::string_view text, std::size_t instead_of) {
    one_.sql += text;
    written_ = true;
    rest_.remove_prefix(instead_of);
  }

  void end() {
    if (written_) out_.push_back(std::move(one_));
    one_ = {};
    written_ = false;
  }

  /// Length of a string, a quoted name or a comment ahead, which is copied as it is; 0: there is none. If it is
  /// unfinished it reaches to the end, and the database reports it.
  std::size_t opaque() const {
    const auto to = [&](std::string_view close, std::size_t from) {
      const auto at = rest_.find(close, from);
      return at == rest_.npos ? rest_.size() : at + close.size();
    };
    // A doubled quote ends one string and begins the next. The result is the same.
    if (rest_[0] == '\'' || rest_[0] == '"') return to(rest_.substr(0, 1), 1);
    if (rest_.starts_with("--")) return to("\n", 2);
    if (rest_.starts_with("/*")) return to("*/", 2);
    if (rest_[0] != '$') return 0;
    std::size_t n = 1;  // PostgreSQL's $tag$ … $tag$
    while (n < rest_.size() && is_word(rest_[n])) ++n;
    return n < rest_.size() && rest_[n] == '$' ? to(rest_.substr(0, n + 1), n + 1) : 0;
  }

  result<void> parameter() {
    std::size_t n = 1;
    while (n < rest_.size() && is_word(rest_[n])) ++n;
    const auto name = rest_.substr(1, n - 1);
    const auto* const known = std::ranges::find(parameter_names, name);
    if (known == parameter_names.end())
      return fail(errc::bad_config,
                  "there is no parameter :{}; there are :did, :collection, :rkey, :uri, :cid, :rev, :time and :record",
                  name);
    const auto p = static_cast<hook_parameter>(known - parameter_names.begin());
    auto at = std::ranges::find(one_.parameters, p);
    if (at == one_.parameters.end()) at = one_.parameters.insert(at, p);
    put(fmt::format("${}", at - one_.parameters.begin() + 1), n);
    return {};
  }

  std::string_view rest_;
  std::string table_;
  std::vector<hook_statement> out_;
  hook_statement one_;
  bool written_ = false;
};

}  // namespace

result<std::vector<hook_statement>> compile_hook(std::string_view text, std::string_view table) {
  return hook_reader(text, table).read();
}

error hook_mistake(const plan& p, std::string_view which, std::string_view why) {
  return fail(errc::bad_config, "{}:{}: view.{}: {}; mend the SQL", p.file, p.line, which, why);
}

result<hook_statements> compile_hooks(const plan& p, std::string_view table) {
  auto on_put = compile_hook(p.on_put, table);
  if (!on_put) return hook_mistake(p, "on_put", on_put.error().text);
  auto on_delete = compile_hook(p.on_delete, table);
  if (!on_delete) return hook_mistake(p, "on_delete", on_delete.error().text);
  return hook_statements{std::move(*on_put), std::move(*on_delete)};
}

std::optional<std::string> hook_value(hook_parameter p, const change& c) {
  const auto unless_empty = [](const std::string& s) { return s.empty() ? std::nullopt : std::optional(s); };
  switch (p) {
    case hook_parameter::did: return c.did;
    case hook_parameter::collection: return c.collection;
    case hook_parameter::rkey: return c.rkey;
    case hook_parameter::uri: return at_uri_of(c);
    case hook_parameter::cid: return unless_empty(c.cid);
    case hook_parameter::rev: return unless_empty(c.rev);
    case hook_parameter::time: return unless_empty(c.time);
    case hook_parameter::record: return unless_empty(c.json);
  }
  return std::nullopt;
}

std::string at_uri_of(const change& c) {
  return c.collection.empty() ? fmt::format("at://{}", c.did)
                              : fmt::format("at://{}/{}/{}", c.did, c.collection, c.rkey);
}

}  // namespace recordkv::view
