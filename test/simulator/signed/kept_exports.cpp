#include "kept_exports.hpp"

#include <utility>

namespace recordkv::sim {

void kept_exports::make(accounts& all) {
  for (std::uint32_t n = 0; n < all.size(); ++n) {
    const account& a = all.at(n);
    if (a.repo.rev == 0) continue;
    auto car = std::make_shared<const std::string>(car_of_repo(a.repo, is_reversed(a)));
    of_.insert_or_assign(n, kept{a.repo.commit, std::move(car)});
  }
}

std::shared_ptr<const std::string> kept_exports::find(const account& a, const repo& r) const {
  const auto at = of_.find(a.number);
  return at == of_.end() || at->second.commit != r.commit ? nullptr : at->second.car;
}

}  // namespace recordkv::sim
