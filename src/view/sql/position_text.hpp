// Lists and maps as table recordkv_builds keeps them: the sequences of a position as {"0":12,"a":7}, labels in order,
// and names as ["a","b"].
//
// Owns: those texts. They are canonical: two positions are equal exactly if their texts are. They are JSON, so that a
// shell can read them. Does not know: where they are kept.
#pragma once

#include "recordkv/view/position.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::view {

std::string seq_text(const std::map<std::string, std::uint64_t>& seq);

/// nullopt: not written by seq_text.
std::optional<std::map<std::string, std::uint64_t>> parse_seq(std::string_view text);

std::string names_text(const std::vector<std::string>& names);

/// nullopt: not written by names_text.
std::optional<std::vector<std::string>> parse_names(std::string_view text);

/// Compare-and-set of a position that processes share by partition. A process that has left the position at `previous`
/// moves it to `next`; returned is what `stored` becomes. Partitions that `next` does not name stay as they are.
/// nullopt: the partitions are not at `previous`, or the history is another.
std::optional<position> moved(position stored, const position& previous, const position& next);

}  // namespace recordkv::view
