#include "recordkv/core/meter.hpp"

namespace recordkv {

std::uint64_t& meters::counter(std::string_view name, std::string_view reason) {
  return counters_[key(std::string(name), std::string(reason))];
}

std::uint64_t meters::value(std::string_view name, std::string_view reason) const {
  const auto it = counters_.find(key(std::string(name), std::string(reason)));
  return it == counters_.end() ? 0 : it->second;
}

void meters::add_of_host(std::string_view name, std::string_view host, std::string_view reason) {
  if (!hosts_.contains(host) && hosts_.size() < max_hosts) hosts_.emplace(host);
  const auto shown = hosts_.contains(host) ? host : std::string_view("other");
  ++of_hosts_[{std::string(name), std::string(shown), std::string(reason)}];
}

}  // namespace recordkv
