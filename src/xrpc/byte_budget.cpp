// The bytes of answers.
//
// Owns: taking them from the budget, and giving them back. Does not know: requests.
#include "recordkv/xrpc/pds_client.hpp"

#include <algorithm>
#include <utility>

namespace recordkv::xrpc {

bool byte_budget::take(std::size_t bytes) noexcept {
  if (bytes > total_ - held_) return false;
  held_ += bytes;
  return true;
}

void byte_budget::give(std::size_t bytes) noexcept { held_ -= std::min(bytes, held_); }

fetched_repo::fetched_repo(fetched_repo&& o) noexcept
    : car_(std::move(o.car_)), budget_(o.budget_), held_(std::exchange(o.held_, 0)) {}

fetched_repo& fetched_repo::operator=(fetched_repo&& o) noexcept {
  if (this == &o) return *this;
  give_back();
  car_ = std::move(o.car_);
  budget_ = o.budget_;
  held_ = std::exchange(o.held_, 0);
  return *this;
}

void fetched_repo::give_back() noexcept {
  car_ = std::string();
  budget_->give(std::exchange(held_, 0));
}

}  // namespace recordkv::xrpc
