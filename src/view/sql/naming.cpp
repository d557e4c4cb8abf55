#include "sql/naming.hpp"

#include <fmt/format.h>

namespace recordkv::view {

std::vector<std::string> naming::tables() const {
  std::vector<std::string> out{rows()};
  for (const auto& c : counted) out.push_back(counter(c));
  out.push_back(rejects());
  return out;
}

std::string naming::part(std::string_view what) const { return fmt::format("recordkv_{}_{}", number, what); }

std::string naming::part(std::string_view what, std::size_t at) const {
  return fmt::format("recordkv_{}_{}_{}", number, what, at);
}

}  // namespace recordkv::view
