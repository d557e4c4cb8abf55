#include "recordkv/kv/partition_set.hpp"

#include "recordkv/kv/record_key.hpp"

#include <algorithm>

namespace recordkv::kv {
namespace {

// A run of neighbours is written "a-d", a single label "a". Runs are joined by '_', since names cannot contain commas.
std::string canonical(const std::vector<bool>& taken, const std::vector<std::string>& labels) {
  std::string out;
  for (std::size_t i = 0; i < taken.size(); ++i) {
    if (!taken[i]) continue;
    std::size_t last = i;
    while (last + 1 < taken.size() && taken[last + 1]) ++last;
    out += (out.empty() ? "-" : "_") + labels[i] + (last > i ? "-" + labels[last] : "");
    i = last;
  }
  return out;
}

}  // namespace

result<partition_set> partition_set::parse(std::string_view text, unsigned partitions) {
  const auto labels = partition_labels(partitions);
  std::vector<bool> taken(labels.size(), text == "all");
  const auto index = [&](std::string_view label) { return std::ranges::find(labels, label) - labels.begin(); };
  for (std::string_view rest = text == "all" ? "" : text; !rest.empty();) {
    const auto comma = std::min(rest.find(','), rest.size());
    const auto one = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    const auto dash = one.find('-');
    const auto from = index(one.substr(0, dash));
    const auto to = dash == one.npos ? from : index(one.substr(dash + 1));
    const auto end = static_cast<std::ptrdiff_t>(labels.size());
    if (from == end || to == end || from > to)
      return fail(errc::bad_config, "\"{}\" names no partitions of a store with {}; they are {} to {}", one, partitions,
                  labels.front(), labels.back());
    std::fill(taken.begin() + from, taken.begin() + to + 1, true);
  }
  partition_set s;
  s.all_ = std::ranges::all_of(taken, [](bool b) { return b; });
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (taken[i]) s.labels_.push_back(labels[i]);
  if (s.labels_.empty()) return fail(errc::bad_config, "\"{}\" names no partition", text);
  if (!s.all_) s.suffix_ = canonical(taken, labels);
  return s;
}

std::optional<partition_set> partition_set::of_name(std::string_view name, std::string_view base, unsigned partitions) {
  if (!name.starts_with(base)) return std::nullopt;
  const auto suffix = name.substr(base.size());
  std::string text = suffix.empty() ? "all" : suffix.front() == '-' ? std::string(suffix.substr(1)) : "";
  std::ranges::replace(text, '_', ',');
  auto s = parse(text, partitions);
  if (!s || s->suffix() != suffix) return std::nullopt;  // another name with the same beginning
  return std::move(*s);
}

bool partition_set::overlaps(const partition_set& other) const {
  return std::ranges::any_of(labels_,
                             [&](const auto& l) { return std::ranges::find(other.labels_, l) != other.labels_.end(); });
}

}  // namespace recordkv::kv
