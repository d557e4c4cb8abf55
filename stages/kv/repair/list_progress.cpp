#include "list_progress.hpp"

#include "recordkv/core/json_fields.hpp"

#include <boost/json.hpp>

namespace recordkv::stages {
namespace json = boost::json;

std::optional<std::chrono::seconds> list_progress::left(std::int64_t now) const {
  if (finished != 0 || expected <= found || found == 0 || now <= begun) return {};
  const auto rate = static_cast<double>(found) / static_cast<double>(now - begun);
  return std::chrono::seconds(static_cast<std::int64_t>(static_cast<double>(expected - found) / rate));
}

std::string to_json(const list_progress& p) {
  return json::serialize(json::object{{"of", p.of},
                                      {"hosts_cursor", p.hosts_cursor},
                                      {"host", p.host},
                                      {"cursor", p.cursor},
                                      {"of_host", p.of_host},
                                      {"passed_over", p.passed_over},
                                      {"found", p.found},
                                      {"inactive", p.inactive},
                                      {"expected", p.expected},
                                      {"begun", p.begun},
                                      {"finished", p.finished}});
}

list_progress parse_list_progress(std::string_view text) {
  boost::system::error_code ec;
  const auto v = json::parse(text, ec);
  const auto* o = ec ? nullptr : v.if_object();
  if (o == nullptr) return {};
  return {.of = std::string(text_field(*o, "of")),
          .hosts_cursor = std::string(text_field(*o, "hosts_cursor")),
          .host = std::string(text_field(*o, "host")),
          .cursor = std::string(text_field(*o, "cursor")),
          .of_host = unsigned_field(*o, "of_host"),
          .passed_over = unsigned_field(*o, "passed_over"),
          .found = unsigned_field(*o, "found"),
          .inactive = unsigned_field(*o, "inactive"),
          .expected = unsigned_field(*o, "expected"),
          .begun = static_cast<std::int64_t>(unsigned_field(*o, "begun")),
          .finished = static_cast<std::int64_t>(unsigned_field(*o, "finished"))};
}

}  // namespace recordkv::stages
