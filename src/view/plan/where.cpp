#include "plan/where.hpp"

#include "plan/pointer.hpp"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>

#include <algorithm>

namespace recordkv::view {

namespace json = boost::json;

bool equals(const json::value& v, std::string_view operand) {
  // Most terms compare text without escapes, which needs no parser.
  if (v.is_string() && operand.size() >= 2 && operand[0] == '"' && !operand.contains('\\'))
    return std::string_view(v.get_string()) == operand.substr(1, operand.size() - 2);
  unsigned char buffer[1024];
  json::monotonic_resource memory(buffer, sizeof(buffer));
  json::error_code ec;
  const json::value other = json::parse(operand, ec, &memory);
  if (ec) return false;
  if (v.is_double() != other.is_double() && v.is_number() && other.is_number())
    return v.to_number<double>() == other.to_number<double>();
  return v == other;
}

namespace {

bool holds(const term& t, const json::value* v) {
  const bool there = v != nullptr && !v->is_null();
  switch (t.what) {
    case term::kind::exists: return there;
    case term::kind::absent: return !there;
    case term::kind::equals: return there && equals(*v, t.operand);
    case term::kind::prefix: return there && v->is_string() && v->get_string().starts_with(t.operand);
  }
  return false;
}

}  // namespace

bool wanted(const plan& p, const json::value& record, const json::value& element) {
  return std::ranges::all_of(p.where,
                             [&](const term& t) { return holds(t, find(t.of_record ? record : element, t.pointer)); });
}

}  // namespace recordkv::view
