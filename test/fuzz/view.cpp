// Any text as a record of each of these views, twice; and as the definition of a view.
#include "plan/named_members.hpp"
#include "plan/pointer.hpp"
#include "property.hpp"
#include "recordkv/view/plan.hpp"

#include <boost/json.hpp>

#include <array>
#include <string>
#include <vector>

using namespace recordkv;
using namespace recordkv::view;

namespace {

constexpr std::array<std::string_view, 4> definitions{R"(
[[view]]
name = "every_type"
collection = "a.b.c"
where = [ { pointer = "/no", exists = false } ]
index = [["t", "u_did"]]
columns = [
  { name = "t", pointer = "/t" }, { name = "n", pointer = "/n", type = "integer" },
  { name = "r", pointer = "/r", type = "real" }, { name = "b", pointer = "/b", type = "boolean", default = true },
  { name = "at", pointer = "/at", type = "timestamp" }, { name = "j", pointer = "/j", type = "json" },
  { name = "u", pointer = "/u", type = "at-uri" }, { name = "uri", value = "uri" } ])",
                                                      R"(
[[view]]
name = "features"
collections = ["*"]
each = "/f/*/g"
where = [ { pointer = "/x", prefix = "a" }, { record = "/y", equals = 1.5 } ]
columns = [ { name = "x", pointer = "/x", required = true }, { name = "all", record = "", type = "json" } ])",
                                                      R"(
[[view]]
name = "required"
collection = "a.b.c"
columns = [ { name = "u", pointer = "/u", type = "at-uri", required = true },
            { name = "at", pointer = "/at", type = "timestamp", required = true } ])",
                                                      R"(
[[view]]
name = "every_link"
collections = ["*"]
extract = "links")"};

const std::vector<plan>& plans() {
  static const auto all = [] {
    std::vector<plan> out;
    for (const auto d : definitions) {
      auto p = plan_from_definition(std::string(d));
      DEMAND(p.has_value());
      out.push_back(std::move(*p));
    }
    return out;
  }();
  return all;
}

void demand_fit(const column& c, const cell& v) {
  const auto* const text = std::get_if<std::string>(&v);
  if (std::holds_alternative<std::monostate>(v)) {
    DEMAND(!c.required);
    return;
  }
  switch (c.type) {
    case column_type::integer:
    case column_type::boolean: DEMAND(std::holds_alternative<std::int64_t>(v)); break;
    case column_type::real: DEMAND(std::holds_alternative<double>(v)); break;
    default: DEMAND(text != nullptr && !text->contains('\0'));
  }
  if (c.type == column_type::boolean) DEMAND(std::get<std::int64_t>(v) == 0 || std::get<std::int64_t>(v) == 1);
  if (c.type == column_type::timestamp) DEMAND(text->size() == 27 && text->ends_with('Z'));
  if (c.at_uri) DEMAND(atproto::parse_at_uri(*text).has_value());
  if (c.from == origin::uri_did) DEMAND(atproto::is_did(*text));
  if (c.from == origin::link_kind) DEMAND(*text == "at-uri" || *text == "did" || *text == "url");
}

// A record without the members that the plan does not name is to the plan as the whole record.
void demand_named(const plan& p, std::string_view text) {
  boost::json::parse_options options;
  options.max_depth = 128;
  boost::system::error_code ec, whole_ec;
  const auto whole = boost::json::parse(text, whole_ec, {}, options);
  const auto named = parse_named_members(p, text, options, {}, ec);
  DEMAND(ec == whole_ec);
  for (const auto& c : p.columns) {
    if (ec || c.from != (p.each.empty() ? origin::element : origin::record)) continue;
    const auto *a = find(whole, c.pointer), *b = find(named, c.pointer);
    DEMAND((a == nullptr) == (b == nullptr) && (a == nullptr || *a == *b));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto json = fuzz::text(data, size);
  const record r{.did = "did:plc:a", .collection = "a.b.c", .rkey = "1", .json = json};
  for (const auto& p : plans()) {
    const auto got = extract(p, r);
    DEMAND(got.rejection_reason.empty() || got.rows.empty());
    DEMAND(got.rows.size() <= (p.links ? 1000u : p.many() ? 10'000u : 1u));
    DEMAND(got.rejection_reason.size() < 300);
    for (const auto& row : got.rows) {
      DEMAND(row.size() == p.columns.size());
      for (std::size_t i = 0; i < row.size(); ++i) demand_fit(p.columns[i], row[i]);
    }
    demand_named(p, json);
    const auto again = extract(p, r);
    DEMAND(again.rows == got.rows && again.rejection_reason == got.rejection_reason);
  }
  // What is taken as a definition is kept in a form that is taken again, and means the same.
  if (const auto p = plan_from_definition(std::string(json))) {
    const auto back = plan_from_definition(p->definition);
    DEMAND(back.has_value() && back->definition == p->definition && back->hash() == p->hash());
  }
  return 0;
}
