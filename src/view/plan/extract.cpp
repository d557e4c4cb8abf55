// From a record to its rows.
//
// Owns: what becomes of each column's value, and the bounds of what one record may give.
// Does not know: how a plan is written, and where rows go.
//
// A record may be hostile. Its depth, its size and the size of its rows are bounded. The reason of a rejection holds
// nothing of the record.
#include "plan/column_types.hpp"
#include "plan/links.hpp"
#include "plan/named_members.hpp"
#include "plan/pointer.hpp"
#include "plan/sources.hpp"
#include "plan/where.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/view/plan.hpp"

#include <boost/json/monotonic_resource.hpp>

#include <algorithm>

namespace recordkv::view {
namespace {

namespace json = boost::json;

constexpr std::size_t max_depth = 128;  // the network's records may nest deeper than the parser's default of 32
constexpr std::size_t max_json = 16 << 20;
constexpr std::size_t max_rows = 10'000;
constexpr std::size_t max_text = 16 << 20;  ///< bytes of text in all rows of one record

/// An index entry of PostgreSQL takes 2,704 bytes. Both databases must give the same answers, so both have the bound.
constexpr std::size_t max_indexed = 2000;

bool is_part_of(std::string_view name, const column& c) {
  if (name == c.name) return true;
  if (!c.at_uri || !name.starts_with(c.name)) return false;
  const auto part = name.substr(c.name.size());
  return part == "_did" || part == "_collection" || part == "_rkey";
}

/// The longest text of a column that fits the indexes and counters on it, or on a part of it.
std::size_t max_text_of(const plan& p, const column& c) {
  std::size_t out = max_text;
  for (const auto& index : p.indexes)
    if (std::ranges::any_of(index, [&](const auto& n) { return is_part_of(n, c); }))
      out = std::min(out, max_indexed / index.size());
  if (std::ranges::any_of(p.count_by, [&](const auto& n) { return is_part_of(n, c); }))
    out = std::min(out, max_indexed);
  return out;
}

class extractor {
 public:
  extractor(const plan& p, const record& r, const json::value& root) : p_(p), r_(r), root_(root) {}

  extraction run() {
    if (p_.links) {
      for (auto& l : links_of(root_)) add_link(l);
    } else if (p_.each.empty()) {
      if (wanted(p_, root_, root_)) add(root_);
    } else {
      auto visit = [this](const json::value& element) {
        ++seen_;
        return !wanted(p_, root_, element) || add(element);
      };
      for_each_element(root_, p_.each, visit);
    }
    if (!out_.rejection_reason.empty()) out_.rows.clear();
    return std::move(out_);
  }

 private:
  bool reject(std::string why) {
    out_.rejection_reason = std::move(why);
    return false;
  }

  void add_link(link& l) {
    cells row;
    row.reserve(p_.columns.size());
    for (const auto& c : p_.columns) {
      if (c.from == origin::link_kind) row.emplace_back(std::string(l.kind));
      if (c.from == origin::link_path) row.emplace_back(std::move(l.path));
      if (c.from == origin::link_target) row.emplace_back(std::string(l.target));
    }
    out_.rows.push_back(std::move(row));
  }

  /// Adds one row; false: the record does not fit.
  bool add(const json::value& element) {
    if (out_.rows.size() == max_rows) return reject(fmt::format("more than {} elements at {}", max_rows, p_.each));
    cells row;
    row.reserve(p_.columns.size());
    for (const auto& c : p_.columns) {
      row.push_back(cell_of(c, element));
      if (std::holds_alternative<std::monostate>(row.back())) {
        if (c.required) return reject(described(c));
      } else if (const auto* text = std::get_if<std::string>(&row.back())) {
        text_ += text->size();
        if (text_ > max_text) return reject(fmt::format("its rows would take more than {} MiB", max_text >> 20));
      }
    }
    out_.rows.push_back(std::move(row));
    return true;
  }

  cell cell_of(const column& c, const json::value& element) {
    switch (c.from) {
      case origin::element: return value_of(c, find(element, c.pointer));
      case origin::record: return value_of(c, find(root_, c.pointer));
      case origin::uri_did: return uri_ && uri_->authority.starts_with("did:") ? present(uri_->authority) : cell{};
      case origin::uri_collection: return uri_ ? present(uri_->collection) : cell{};
      case origin::uri_rkey: return uri_ ? present(uri_->rkey) : cell{};
      case origin::did: return fact(c, r_.did);
      case origin::collection: return fact(c, r_.collection);
      case origin::rkey: return fact(c, r_.rkey);
      case origin::uri: return fact(c, fmt::format("at://{}/{}/{}", r_.did, r_.collection, r_.rkey));
      case origin::cid: return fact(c, r_.cid);
      case origin::rev: return fact(c, r_.rev);
      case origin::time: return fact(c, r_.time);
      case origin::link_kind:
      case origin::link_path:
      case origin::link_target: return {};  // add_link's
      case origin::hooks: return c.fallback;
    }
    return {};
  }

  static cell present(std::string_view s) { return s.empty() ? cell{} : cell(std::string(s)); }

  cell fact(const column& c, std::string_view s) {
    flaw_ = "is not known of this record";
    if (s.empty()) return c.fallback;
    flaw_ = "is none of its type";
    return otherwise(c, text_cell(c, s));
  }

  cell value_of(const column& c, const json::value* v) {
    uri_.reset();
    if (v == nullptr || v->is_null()) {
      flaw_ = "is missing";
      return otherwise(c, {});
    }
    flaw_ = "is none of its type";
    return otherwise(c, typed(c, *v));
  }

  /// The value, or the column's default in place of NULL.
  cell otherwise(const column& c, cell value) {
    if (!std::holds_alternative<std::monostate>(value)) return value;
    if (c.at_uri)
      if (const auto* text = std::get_if<std::string>(&c.fallback)) uri_ = atproto::parse_at_uri(*text);
    return c.fallback;
  }

  cell typed(const column& c, const json::value& v) {
    const auto& type = traits_of(c.type);
    if (type.from_json != nullptr) return type.from_json(v, flaw_);
    return v.is_string() ? text_cell(c, v.get_string()) : cell();
  }

  cell text_cell(const column& c, std::string_view s) {
    const auto& type = traits_of(c.type);
    auto value = type.from_text(s);
    if (!value && type.bounded && s.contains('\0')) flaw_ = zero_flaw;
    if (!value || !type.bounded) return value.value_or(cell());
    // Finding the bound costs more than copying the text. A short text fits in any case.
    if (s.size() > 200 && s.size() > max_text_of(p_, c)) {
      flaw_ = "is too long for the index or counter that it stands in";
      return {};
    }
    if (c.at_uri) {
      uri_ = atproto::parse_at_uri(s);
      if (!uri_) return {};
    }
    return std::move(*value);
  }

  std::string described(const column& c) const {
    std::string where;
    if (c.from == origin::element && !p_.each.empty())
      where = fmt::format(", {} in element {} of {}", c.pointer.empty() ? "itself" : c.pointer, seen_ - 1, p_.each);
    else if (c.from == origin::element || c.from == origin::record)
      where = fmt::format(", {} in the {}", c.pointer.empty() ? "all" : c.pointer, traits_of(p_.rows_of).value);
    return fmt::format("column {}{}, {}", c.name, where, flaw_);
  }

  const plan& p_;
  const record& r_;
  const json::value& root_;
  extraction out_;
  std::size_t seen_ = 0;                ///< elements of `each`
  std::size_t text_ = 0;                ///< bytes in all rows so far
  std::string_view flaw_;               ///< why the latest cell is NULL
  std::optional<atproto::at_uri> uri_;  ///< in the latest column of type at-uri; views into the record or the plan
};

}  // namespace

extraction extract(const plan& p, const record& r) {
  if (r.json.size() > max_json)
    return {.rows = {}, .rejection_reason = fmt::format("longer than {} MiB", max_json >> 20)};
  // A like is 250 bytes and a post a few thousand: most records are parsed without the heap.
  unsigned char buffer[16 * 1024];
  json::monotonic_resource memory(buffer, sizeof(buffer));
  json::parse_options options;
  options.max_depth = max_depth;
  json::error_code ec;
  const json::value root = parse_named_members(p, r.json, options, &memory, ec);
  if (ec) return {.rows = {}, .rejection_reason = fmt::format("no JSON: {}", ec.message())};
  if (!root.is_object()) return {.rows = {}, .rejection_reason = "JSON, but no object"};
  return extractor(p, r, root).run();
}

}  // namespace recordkv::view
