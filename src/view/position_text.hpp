// How table recordkv_position keeps the sequences of a position: {"0":12,"a":7}, labels in order.
//
// Owns: that text. It is canonical, so that two positions are equal exactly when their texts are, and a JSON object,
// so that `SELECT key, value FROM recordkv_position, json_each(seq)` works in a shell.
// Refuses to know: where it is kept.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace recordkv::view {

std::string seq_text(const std::map<std::string, std::uint64_t>& seq);

/// nullopt: not written by seq_text.
std::optional<std::map<std::string, std::uint64_t>> parse_seq(std::string_view text);

}  // namespace recordkv::view
