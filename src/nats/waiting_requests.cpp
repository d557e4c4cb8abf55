#include "waiting_requests.hpp"

#include "recordkv/core/parse_number.hpp"

#include <algorithm>

namespace recordkv::nats {
namespace {

constexpr std::chrono::seconds stop_limit{1};

}  // namespace

waiting_requests::slots::slots(waiting_requests& t, std::size_t n)
    : table(t), replies(n), failures(n), subjects(n), ids(n), missing(n) {}

waiting_requests::slots::~slots() {
  for (const auto id : ids) table.table_.erase(id);
}

std::uint64_t waiting_requests::add(slots& waiting, std::size_t index, std::string subject) {
  const auto id = waiting.ids[index] = next_++;
  waiting.subjects[index] = std::move(subject);
  table_.emplace(id, std::pair(&waiting, index));
  return id;
}

void waiting_requests::answer(std::uint64_t id, message& reply) {
  const auto it = table_.find(id);
  if (it == table_.end()) return;  // the waiting coroutine has ended
  auto [slot, index] = it->second;
  slot->replies[index] = std::move(reply);
  table_.erase(it);
  if (--slot->missing == 0) slot->answered.notify();
}

void waiting_requests::fail_one(std::uint64_t id, error why) {
  const auto it = table_.find(id);
  if (it == table_.end()) return;
  auto [slot, index] = it->second;
  slot->failures[index] = std::move(why);
  table_.erase(it);
  if (--slot->missing == 0) slot->answered.notify();
}

void waiting_requests::fail_all(const error& why) {
  std::vector<std::uint64_t> all;
  all.reserve(table_.size());
  for (const auto& [id, slot] : table_) all.push_back(id);
  for (const auto id : all) fail_one(id, why);
}

void waiting_requests::deny(const denial& d, std::string_view inbox) {
  if (d.what == denial::direction::subscribe) return;
  std::vector<std::uint64_t> refused;
  // The subject is a reply subject if replies are refused, or if the process published to itself (flush).
  if (const auto own = fmt::format("{}.r", inbox); d.subject.starts_with(own)) {
    refused.push_back(parse_number<std::uint64_t>(std::string_view(d.subject).substr(own.size())).value_or(0));
  } else if (d.what == denial::direction::publish) {
    for (const auto& [id, slot] : table_)
      if (d.names(slot.first->subjects[slot.second])) refused.push_back(id);
  }
  for (const auto id : refused) fail_one(id, d.as_error());
}

void waiting_requests::hurry() {
  if (hurried_) return;
  hurried_ = clock::now();
  for (const auto& [id, slot] : table_) slot.first->answered.notify();  // each checks its deadline again
}

waiting_requests::clock::time_point waiting_requests::deadline(clock::time_point asked,
                                                               clock::duration limit) const noexcept {
  return hurried_ ? std::min(asked + limit, std::max(asked, *hurried_) + stop_limit) : asked + limit;
}

}  // namespace recordkv::nats
