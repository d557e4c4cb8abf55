#include "loss_count.hpp"

#include <fmt/format.h>

namespace recordkv::stages {

std::string loss_count::close(std::string_view did) {
  if (open_.erase(std::hash<std::string_view>{}(did)) == 0) return {};
  ++now_.checked;
  return open_.empty() ? "the repair after a loss is done: " + text() : std::string();
}

std::string loss_count::text() const {
  return fmt::format("{} account{} checked, {} resynced, {} record{} differed", now_.checked,
                     now_.checked == 1 ? "" : "s", now_.resynced, now_.differed, now_.differed == 1 ? "" : "s");
}

}  // namespace recordkv::stages
