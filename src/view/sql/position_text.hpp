// How table recordkv_builds keeps what is more than one value: the sequences of a position as {"0":12,"a":7}, labels in
// order, and lists of names as ["a","b"].
//
// Owns: those texts. They are canonical, so that two positions are equal exactly when their texts are, and JSON, so
// that a shell can take them apart. Refuses to know: where they are kept.
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

/// Compare-and-set of a position that is shared by partition: where `stored` goes when who believes in `previous` moves
/// to `next`. Partitions that `next` does not name belong to others and stay. nullopt: they do not stand at `previous`,
/// or the history is another.
std::optional<position> moved(position stored, const position& previous, const position& next);

}  // namespace recordkv::view
